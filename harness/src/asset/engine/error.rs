//! What may go wrong with the container engine.

use std::{path::PathBuf, time::Duration};

use bollard::errors::Error as DockerError;

use crate::asset::store;

/// A failure of the container engine.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There is no engine, or it does not answer.
    #[error("could not reach the container engine; is it running, and may this user talk to it?")]
    Unreachable {
        /// The answer of the client.
        #[source]
        source: DockerError,
    },
    /// The disk of the engine has no room left.
    #[error("no space left on the container engine's disk while {step} {subject}")]
    DiskFull {
        /// What was tried.
        step: &'static str,
        /// With what.
        subject: String,
        /// The answer of the engine.
        #[source]
        source: DockerError,
    },
    /// The engine refused or failed.
    #[error("the container engine failed {step} {subject}")]
    Refused {
        /// What was tried.
        step: &'static str,
        /// With what.
        subject: String,
        /// The answer of the engine.
        #[source]
        source: DockerError,
    },
    /// The engine was asked to load an archive, and does not have the image afterwards.
    #[error("the container engine loaded {} and does not have {reference}", archive.display())]
    NotLoaded {
        /// The image.
        reference: String,
        /// The archive.
        archive: PathBuf,
    },
    /// A container that makes an image failed.
    #[error("the container that makes {image} ended with status {status}; it said:\n{logs}")]
    Container {
        /// The image.
        image: String,
        /// The exit status.
        status: i64,
        /// What it said last.
        logs: String,
    },
    /// A container that makes an image does not end.
    #[error("the container that makes {image} did not end within {} min; it said:\n{logs}", limit.as_secs() / 60)]
    ContainerTooSlow {
        /// The image.
        image: String,
        /// How long it had.
        limit: Duration,
        /// What it said last.
        logs: String,
    },
    /// A file for or from the engine could not be read or written.
    #[error(transparent)]
    File(#[from] store::Error),
}

/// Names a failed step; a full disk is its own kind.
pub(super) fn failed(step: &'static str, subject: &str) -> impl FnOnce(DockerError) -> Error {
    let subject = subject.to_owned();
    move |source| {
        if source.to_string().contains("no space left on device") {
            return Error::DiskFull {
                step,
                subject,
                source,
            };
        }
        Error::Refused {
            step,
            subject,
            source,
        }
    }
}
