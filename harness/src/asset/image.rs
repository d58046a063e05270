//! Images as the rest of the harness sees them.

use std::{fmt, path::PathBuf};

/// An image that a host can be given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// The name that pods use. The same name always means the same content.
    pub reference: String,
    /// An OCI and Docker archive on the local disk; `None` when the container engine has the image.
    pub archive: Option<PathBuf>,
    /// Where it came from.
    pub origin: Origin,
}

/// A kind node image, present in the container engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeImage {
    /// The name to create containers from.
    pub reference: String,
    /// The engine's identifier, `sha256:…`.
    pub id: String,
    /// Where it came from.
    pub origin: Origin,
}

/// The source that had an asset, in the order in which they are asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Origin {
    /// The directory named by `VCLUSTER_TEST_ASSETS`.
    Directory,
    /// The cache of this user.
    Cache,
    /// The container engine had it already.
    Engine,
    /// A registry or mirror, through the container engine.
    Registry,
    /// Built from source just now.
    Built,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Directory => "directory",
            Self::Cache => "cache",
            Self::Engine => "container engine",
            Self::Registry => "registry",
            Self::Built => "built from source",
        })
    }
}
