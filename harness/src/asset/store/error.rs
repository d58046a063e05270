//! What may go wrong in the cache.

use std::{io, path::PathBuf, time::Duration};

/// A failure of the cache.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The disk has no room left. Nothing half-written stays behind.
    #[error(
        "no space left on the disk of {}; free some, or set VCLUSTER_TEST_CACHE to a larger one",
        path.display()
    )]
    DiskFull {
        /// What was being written.
        path: PathBuf,
        /// The answer of the system.
        #[source]
        source: io::Error,
    },
    /// The disk has too little room for what is about to be made.
    #[error(
        "{free_mb} MB are free on the disk of {}, and {needed_mb} MB are needed; free some, or set \
         VCLUSTER_TEST_CACHE to a larger one",
        path.display()
    )]
    LittleSpace {
        /// The cache.
        path: PathBuf,
        /// What is free.
        free_mb: u64,
        /// What is needed.
        needed_mb: u64,
    },
    /// Reading or writing failed.
    #[error("could not {step} {}", path.display())]
    Io {
        /// What was tried.
        step: &'static str,
        /// With which file.
        path: PathBuf,
        /// The answer of the system.
        #[source]
        source: io::Error,
    },
    /// Somebody else is making the asset and does not finish.
    #[error("waited {} s for {what}, which {owner} is making", waited.as_secs())]
    StillClaimed {
        /// The asset.
        what: String,
        /// Who holds the lock.
        owner: String,
        /// For how long we waited.
        waited: Duration,
    },
    /// A creator claimed success and left no file.
    #[error("making {what} left no file at {}", path.display())]
    NothingMade {
        /// The asset.
        what: String,
        /// Where the file should be.
        path: PathBuf,
    },
}

impl Error {
    /// Names a failed step with a file; a full disk is its own kind.
    pub(crate) fn io(
        step: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                Self::DiskFull { path, source }
            }
            _ => Self::Io { step, path, source },
        }
    }
}
