//! What may go wrong with assets.

use std::{io, path::PathBuf};

use jiff::Timestamp;

use super::{build, store};
use crate::{engine, version::KubernetesVersion};

/// A failure to come by an asset.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The lock file does not have this version.
    #[error(
        "kubernetes {request} is not in vcluster.lock{}; near it are {}",
        if source.is_some() { ", and no source has its images" } else { "" },
        list(near)
    )]
    UnknownVersion {
        /// What was asked for.
        request: String,
        /// What there is instead, newest first.
        near: Vec<KubernetesVersion>,
        /// Where it was looked for: any patch of a known minor may be on a registry.
        #[source]
        source: Option<Box<Error>>,
    },
    /// The engine has another content under the name of an image than the lock file says.
    #[error(
        "the container engine's {image} has the content {found}, and vcluster.lock says {locked}; \
         remove it (`docker image rm {image}`), and the right one is pulled"
    )]
    NotAsLocked {
        /// The image.
        image: String,
        /// The digest in the lock file.
        locked: String,
        /// The digest that was found.
        found: String,
    },
    /// An image is not what it was when it was first seen here.
    #[error(
        "{image} has the content {found}, and had {first} when it was first seen here ({seen}); if \
         it was changed by somebody who may, remove its entry from {}; if not, do not run it",
        file.display()
    )]
    NotAsFirstSeen {
        /// The image.
        image: String,
        /// The digest that was recorded.
        first: String,
        /// When.
        seen: Timestamp,
        /// The digest that was found.
        found: String,
        /// Where it is recorded.
        file: PathBuf,
    },
    /// The record of what was first seen cannot be read.
    #[error(
        "could not read {}; mend it, or remove it and trust what is seen next",
        file.display()
    )]
    ReadDigests {
        /// The file.
        file: PathBuf,
        /// Where and why.
        #[source]
        source: Box<toml::de::Error>,
    },
    /// No source has the asset.
    #[error("no source has {asset}:{}", told(tried))]
    Unavailable {
        /// The asset.
        asset: String,
        /// Each source and why it did not help.
        tried: Vec<String>,
        /// Why the last source failed, when it was tried.
        #[source]
        source: Option<Box<Error>>,
    },
    /// The lock file cannot be read.
    #[error("could not read the lock file")]
    ReadLockFile {
        /// Where and why.
        #[source]
        source: Box<toml::de::Error>,
    },
    /// The lock file is of another time.
    #[error("the lock file has format {found}, and this version reads format 1")]
    LockFileFormat {
        /// The format it says.
        found: u32,
    },
    /// A file in the user's directory is no image archive.
    #[error("could not read the image archive {}", archive.display())]
    ReadArchive {
        /// The file.
        archive: PathBuf,
        /// The answer of the system.
        #[source]
        source: io::Error,
    },
    /// A file in the user's directory is an archive of an image without a name.
    #[error("the image in {} has no name; save it by name, as in `docker save NAME`", archive.display())]
    NamelessArchive {
        /// The file.
        archive: PathBuf,
    },
    /// The cache failed.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The container engine failed.
    #[error(transparent)]
    Engine(#[from] engine::Error),
    /// A build from source failed.
    #[error(transparent)]
    Build(#[from] build::Error),
}

fn list(versions: &[KubernetesVersion]) -> String {
    let names: Vec<_> = versions.iter().map(ToString::to_string).collect();
    names.join(", ")
}

/// One line for each source that was tried.
fn told(tried: &[String]) -> String {
    let mut text = String::new();
    for line in tried {
        text.push_str("\n  ");
        text.push_str(line);
    }
    text
}
