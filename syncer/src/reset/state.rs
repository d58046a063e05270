//! A saved state and its file, which lies in the memory of the control plane's pod.

use std::{
    fs,
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};

use prost::Message as _;

use super::{
    Error,
    rule::{Rule, rule},
    store::{Entries, Entry, Reading},
};

/// What the store should be again.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct State {
    pub(super) entries: Entries,
}

#[derive(Clone, PartialEq, prost::Message)]
struct File {
    #[prost(message, repeated, tag = "1")]
    entries: Vec<FileEntry>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct FileEntry {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
    #[prost(int64, tag = "3")]
    created: i64,
    #[prost(int64, tag = "4")]
    modified: i64,
}

impl State {
    /// All of the reading that lasts.
    pub(super) fn of(reading: Reading) -> Self {
        let mut entries = reading.entries;
        entries.retain(|key, _| !matches!(rule(key), Rule::Aside | Rule::Transient));
        Self { entries }
    }

    /// Reads a state from its file.
    pub(super) fn read(path: &Path) -> Result<Self, Error> {
        let bytes = fs::read(path).map_err(file("read", path))?;
        let file = File::decode(bytes.as_slice()).map_err(|source| Error::Damaged {
            path: path.to_owned(),
            source,
        })?;
        let entries = file.entries.into_iter().map(|entry| {
            let FileEntry {
                key,
                value,
                created,
                modified,
            } = entry;
            let entry = Entry {
                value,
                created,
                modified,
            };
            (key, entry)
        });
        Ok(Self {
            entries: entries.collect(),
        })
    }

    /// Writes it so that whoever reads sees the state before or this one. Nobody else may read it:
    /// it holds secrets.
    pub(super) fn write(&self, path: &Path) -> Result<(), Error> {
        let entries = self.entries.iter().map(|(key, entry)| FileEntry {
            key: key.clone(),
            value: entry.value.clone(),
            created: entry.created,
            modified: entry.modified,
        });
        let bytes = File {
            entries: entries.collect(),
        }
        .encode_to_vec();
        let draft = path.with_extension(format!("{}.partial", std::process::id()));
        let written = fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&draft)
            .and_then(|mut file| file.write_all(&bytes))
            .and_then(|()| fs::rename(&draft, path));
        written.map_err(file("write", path))
    }
}

fn file(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::File {
        action,
        path,
        source,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn state(keys: &[&str]) -> State {
        let entry = |key: &&str| {
            let entry = Entry {
                value: b"\xff\0 is no text".to_vec(),
                created: 3,
                modified: 7,
            };
            (format!("/registry/{key}"), entry)
        };
        State {
            entries: keys.iter().map(entry).collect(),
        }
    }

    #[test]
    fn a_state_is_read_as_it_was_written() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("state");
        state(&["configmaps/a/b"]).write(&path).unwrap();
        state(&["configmaps/a/b", "secrets/a/b"])
            .write(&path)
            .unwrap();
        let read = State::read(&path).unwrap();
        assert_eq!(read, state(&["configmaps/a/b", "secrets/a/b"]));
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_does_not_last_is_not_saved() {
        let saved = State::of(Reading {
            revision: 9,
            entries: state(&["events/a/b", "masterleases/10.0.0.1", "pods/a/b"]).entries,
        });
        assert_eq!(saved, state(&["pods/a/b"]));
    }

    #[test]
    fn another_file_is_no_state() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("state");
        fs::write(&path, "hello").unwrap();
        assert!(matches!(State::read(&path), Err(Error::Damaged { .. })));
        let missing = State::read(&directory.path().join("none"));
        assert!(matches!(missing, Err(Error::File { .. })));
    }
}
