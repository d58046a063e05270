//! The files of an image layer, as a tar that is the same whenever the files are.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, Write},
    path::{Path, PathBuf},
};

use tar::{Builder, EntryType, Header};

/// A set of files, by path without a leading slash.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Layer {
    entries: BTreeMap<String, Entry>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Entry {
    Directory { mode: u32 },
    Link { target: String },
    Bytes { mode: u32, content: Vec<u8> },
    Copy { mode: u32, source: PathBuf },
}

/// Not zero: some programs take the beginning of time for a missing time.
const MODIFIED: u64 = 1;

impl Layer {
    /// A directory; the ones above a file come by themselves.
    #[must_use]
    pub(crate) fn directory(self, path: &str, mode: u32) -> Self {
        self.with(path, Entry::Directory { mode })
    }

    /// A symbolic link.
    #[must_use]
    pub(crate) fn link(self, path: &str, target: impl Into<String>) -> Self {
        let target = target.into();
        self.with(path, Entry::Link { target })
    }

    /// A file with this content.
    #[must_use]
    pub(crate) fn bytes(self, path: &str, mode: u32, content: impl Into<Vec<u8>>) -> Self {
        let content = content.into();
        self.with(path, Entry::Bytes { mode, content })
    }

    /// A file with the content of another on the disk.
    #[must_use]
    pub(crate) fn copy(self, path: &str, mode: u32, source: impl Into<PathBuf>) -> Self {
        let source = source.into();
        self.with(path, Entry::Copy { mode, source })
    }

    fn with(mut self, path: &str, entry: Entry) -> Self {
        let path = path.trim_matches('/');
        let above = Path::new(path)
            .ancestors()
            .skip(1)
            .filter_map(Path::to_str)
            .filter(|above| !above.is_empty());
        for above in above {
            self.entries
                .entry(above.to_owned())
                .or_insert(Entry::Directory { mode: 0o755 });
        }
        self.entries.insert(path.to_owned(), entry);
        self
    }

    /// Writes the tar.
    ///
    /// # Errors
    /// A source cannot be read, or the output not written.
    pub(crate) fn write_to(&self, output: impl Write) -> io::Result<()> {
        let mut tar = Builder::new(output);
        for (path, entry) in &self.entries {
            match entry {
                Entry::Directory { mode } => {
                    let mut header = header(EntryType::Directory, *mode, 0);
                    tar.append_data(&mut header, format!("{path}/"), io::empty())?;
                }
                Entry::Link { target } => {
                    let mut header = header(EntryType::Symlink, 0o777, 0);
                    tar.append_link(&mut header, path, target)?;
                }
                Entry::Bytes { mode, content } => {
                    let mut header = header(EntryType::Regular, *mode, content.len() as u64);
                    tar.append_data(&mut header, path, content.as_slice())?;
                }
                Entry::Copy { mode, source } => {
                    let file = File::open(source)?;
                    let size = file.metadata()?.len();
                    let mut header = header(EntryType::Regular, *mode, size);
                    tar.append_data(&mut header, path, file)?;
                }
            }
        }
        tar.into_inner()?.flush()
    }
}

/// A header of root's, without anything that depends on the machine.
pub(crate) fn header(kind: EntryType, mode: u32, size: u64) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(size);
    header.set_mtime(MODIFIED);
    header.set_uid(0);
    header.set_gid(0);
    header
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tar(layer: &Layer) -> Vec<u8> {
        let mut bytes = Vec::new();
        layer.write_to(&mut bytes).unwrap();
        bytes
    }

    #[test]
    fn the_same_files_give_the_same_bytes() {
        let one = Layer::default()
            .bytes("b", 0o644, "2")
            .bytes("a", 0o644, "1");
        let two = Layer::default()
            .bytes("a", 0o644, "1")
            .bytes("b", 0o644, "2");
        assert_eq!(tar(&one), tar(&two));
    }

    #[test]
    fn directories_come_before_what_is_in_them() {
        let layer = Layer::default()
            .bytes("usr/bin/etcd", 0o755, "x")
            .link("bin", "usr/bin")
            .directory("tmp", 0o1777);
        let bytes = tar(&layer);
        let mut archive = tar::Archive::new(bytes.as_slice());
        let found: Vec<_> = archive
            .entries()
            .unwrap()
            .map(|entry| {
                let entry = entry.unwrap();
                let path = entry.path().unwrap().display().to_string();
                (
                    path,
                    entry.header().mode().unwrap(),
                    entry.header().mtime().unwrap(),
                )
            })
            .collect();
        let expected = [
            ("bin", 0o777),
            ("tmp/", 0o1777),
            ("usr/", 0o755),
            ("usr/bin/", 0o755),
            ("usr/bin/etcd", 0o755),
        ]
        .map(|(path, mode)| (path.to_owned(), mode, MODIFIED));
        assert_eq!(found, expected);
    }
}
