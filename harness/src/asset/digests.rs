//! What images held when they were first seen, so that a name which gets another content is noticed.
//! For images whose content the lock file does not say.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Error, store};

/// What a new file begins with.
const HEAD: &str = "\
# What images held when vcluster-test first saw them. One that is of another content later is an error;
# remove its entry if the new content is right.
";

/// The file of digests.
#[derive(Debug, Clone)]
pub(super) struct Digests {
    path: PathBuf,
    store: store::Store,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    images: BTreeMap<String, Seen>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Seen {
    digest: String,
    first_seen: Timestamp,
}

impl Digests {
    /// The file in this directory, which need not exist.
    pub(super) fn new(directory: &Path, store: store::Store) -> Self {
        Self {
            path: directory.join("digests.toml"),
            store,
        }
    }

    /// Compares what the engine has under the name of an official image with what the lock file says of
    /// it, else with what was seen first. What is seen for the first time is recorded.
    ///
    /// `found` are the digests under which registries know the image; one that came by another way has
    /// none, and there is nothing to compare.
    ///
    /// # Errors
    /// It is another content, or the file cannot be read or written.
    pub(super) async fn check(&self, official: &str, found: &[String]) -> Result<(), Error> {
        let digests: Vec<_> = found.iter().filter_map(|name| digest(name)).collect();
        let Some(&first) = digests.first() else {
            return Ok(());
        };
        let (name, locked) = match official.split_once('@') {
            Some((name, locked)) => (name, Some(locked)),
            None => (official, None),
        };
        if let Some(locked) = locked {
            if digests.contains(&locked) {
                return Ok(());
            }
            return Err(Error::NotAsLocked {
                image: name.to_owned(),
                locked: locked.to_owned(),
                found: first.to_owned(),
            });
        }
        // Without the lock: it is seen already almost always.
        if let Some(seen) = self.read()?.images.get(name) {
            return self.compare(name, seen, &digests);
        }
        let _claim = self.store.claim("digests", "the list of digests").await?;
        let mut file = self.read()?;
        if let Some(seen) = file.images.get(name) {
            return self.compare(name, seen, &digests);
        }
        let seen = Seen {
            digest: first.to_owned(),
            first_seen: Timestamp::now(),
        };
        tracing::info!(image = name, digest = first, "recorded");
        file.images.insert(name.to_owned(), seen);
        self.write(&file)
    }

    fn compare(&self, name: &str, seen: &Seen, digests: &[&str]) -> Result<(), Error> {
        if digests.contains(&seen.digest.as_str()) {
            return Ok(());
        }
        Err(Error::NotAsFirstSeen {
            image: name.to_owned(),
            first: seen.digest.clone(),
            seen: seen.first_seen,
            found: digests.first().copied().unwrap_or_default().to_owned(),
            file: self.path.clone(),
        })
    }

    fn read(&self) -> Result<File, Error> {
        let text = match fs::read_to_string(&self.path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(File::default()),
            Err(source) => return Err(store::Error::io("read", &self.path)(source).into()),
        };
        toml::from_str(&text).map_err(|source| Error::ReadDigests {
            file: self.path.clone(),
            source: Box::new(source),
        })
    }

    fn write(&self, file: &File) -> Result<(), Error> {
        let text = toml::to_string(file).expect("names, digests and times have a form in TOML");
        let directory = self.path.parent().unwrap_or(Path::new("."));
        let written = tempfile::NamedTempFile::new_in(directory).and_then(|mut draft| {
            draft.write_all(HEAD.as_bytes())?;
            draft.write_all(text.as_bytes())?;
            draft.as_file().sync_all()?;
            draft.persist(&self.path)?;
            Ok(())
        });
        Ok(written.map_err(store::Error::io("write", &self.path))?)
    }
}

/// `repository@sha256:…` names a content of a repository.
fn digest(name: &str) -> Option<&str> {
    name.split_once('@').map(|(_, digest)| digest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::progress::Progress;

    const IMAGE: &str = "registry.k8s.io/kube-apiserver:v1.34.7";

    struct Place {
        directory: tempfile::TempDir,
        digests: Digests,
    }

    fn place() -> Place {
        let directory = tempfile::tempdir().unwrap();
        let store = store::Store::new(directory.path(), Progress::silent());
        let digests = Digests::new(directory.path(), store);
        Place { directory, digests }
    }

    fn known_as(digest: &str) -> Vec<String> {
        vec![format!("registry.k8s.io/kube-apiserver@{digest}")]
    }

    #[tokio::test]
    async fn another_content_than_the_first_is_refused_until_its_entry_is_removed() {
        let Place { directory, digests } = place();
        digests.check(IMAGE, &known_as("sha256:a")).await.unwrap();
        digests.check(IMAGE, &known_as("sha256:a")).await.unwrap();
        let error = digests
            .check(IMAGE, &known_as("sha256:b"))
            .await
            .unwrap_err()
            .to_string();
        let file = directory.path().join("digests.toml");
        for word in [IMAGE, "sha256:a", "sha256:b", &file.display().to_string()] {
            assert!(error.contains(word), "{word} in {error}");
        }
        let text = fs::read_to_string(&file).unwrap();
        assert!(text.starts_with('#') && text.contains(IMAGE), "{text}");

        fs::write(&file, HEAD).unwrap();
        digests.check(IMAGE, &known_as("sha256:b")).await.unwrap();
    }

    #[tokio::test]
    async fn a_mirror_may_know_it_under_another_name() {
        let Place {
            directory: _directory,
            digests,
        } = place();
        digests.check(IMAGE, &known_as("sha256:a")).await.unwrap();
        let names = ["mirror.example/kube-apiserver@sha256:a".to_owned()];
        digests.check(IMAGE, &names).await.unwrap();
    }

    #[tokio::test]
    async fn what_no_registry_knows_is_not_compared() {
        let Place { directory, digests } = place();
        digests.check(IMAGE, &[]).await.unwrap();
        assert!(!directory.path().join("digests.toml").exists());
    }

    #[tokio::test]
    async fn the_lock_file_comes_before_what_was_seen() {
        let Place { directory, digests } = place();
        let official = format!("{IMAGE}@sha256:a");
        digests
            .check(&official, &known_as("sha256:a"))
            .await
            .unwrap();
        let error = digests
            .check(&official, &known_as("sha256:b"))
            .await
            .unwrap_err();
        assert!(matches!(error, Error::NotAsLocked { .. }), "{error:?}");
        assert!(!directory.path().join("digests.toml").exists());
    }

    #[tokio::test]
    async fn a_file_that_cannot_be_read_is_not_overwritten() {
        let Place { directory, digests } = place();
        let file = directory.path().join("digests.toml");
        fs::write(&file, "images = 1").unwrap();
        let error = digests.check(IMAGE, &known_as("sha256:a")).await;
        assert!(matches!(error, Err(Error::ReadDigests { .. })), "{error:?}");
        assert_eq!(fs::read_to_string(&file).unwrap(), "images = 1");
    }

    #[tokio::test]
    async fn images_that_are_first_seen_at_once_are_all_recorded() {
        let Place {
            directory: _directory,
            digests,
        } = place();
        let names: Vec<_> = (0..8).map(|minor| format!("x/y:v1.{minor}")).collect();
        let known = known_as("sha256:a");
        let checks = names.iter().map(|name| digests.check(name, &known));
        futures::future::try_join_all(checks).await.unwrap();
        assert_eq!(digests.read().unwrap().images.len(), names.len());
    }
}
