//! What can go wrong with the Docker engine, and what to do about it.

use std::{io, path::PathBuf, time::Duration};

use bollard::errors::Error as DockerError;

use super::connection::REQUEST;
use crate::asset::StoreError;

/// The engine could not be reached, or failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No socket of a Docker engine exists.
    #[error(
        "no Docker engine found (looked at {looked_at}): install and start one \
         (`sudo apt-get install docker.io && sudo systemctl start docker`, or Docker Desktop), \
         or name it in DOCKER_HOST, or use another host with VCLUSTER_TEST_HOST=kubeconfig:PATH"
    )]
    Missing {
        /// The places, in order.
        looked_at: String,
    },
    /// The engine's socket is there but this user may not use it.
    #[error(
        "this user may not use the Docker engine at {endpoint}: add the user to the group `docker` \
         (`sudo usermod -aG docker $USER`, then log in again), or use rootless Docker"
    )]
    Forbidden {
        /// Where the engine listens.
        endpoint: String,
        /// The refusal.
        #[source]
        source: std::io::Error,
    },
    /// Nobody answers at the engine's address.
    #[error(
        "the Docker engine at {endpoint} does not answer, so it is probably stopped: start it \
         (`sudo systemctl start docker`, or open Docker Desktop)"
    )]
    Stopped {
        /// Where the engine should listen.
        endpoint: String,
        /// The failure.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// `DOCKER_HOST` or the Docker context names something that cannot be used.
    #[error(
        "`{endpoint}` (from {origin}) is not an address of a Docker engine that can be used here; \
         expected unix://PATH, tcp://HOST:PORT or https://HOST:PORT"
    )]
    Address {
        /// What was given.
        endpoint: String,
        /// Where it was given.
        origin: &'static str,
    },
    /// Somebody accepts connections and never answers.
    #[error(
        "the Docker engine at {endpoint} does not answer within {} s although it runs, so it \
         probably hangs: look into its log (`journalctl --unit docker`), and restart it \
         (`sudo systemctl restart docker`, or Docker Desktop's menu)",
        .waited.as_secs()
    )]
    Silent {
        /// Where the engine listens.
        endpoint: String,
        /// How long it had.
        waited: Duration,
    },
    /// The engine took a request and does not answer.
    #[error(
        "the Docker engine did not {step} {object} within {} s: it hangs, or its disk is overloaded; \
         look into its log (`journalctl --unit docker`), and restart it if it does not recover \
         (`sudo systemctl restart docker`)",
        .waited.as_secs()
    )]
    TimedOut {
        /// What was asked, such as `create container`.
        step: &'static str,
        /// Of what.
        object: String,
        /// How long it had.
        waited: Duration,
    },
    /// The disk of the engine has no room left.
    #[error(
        "no space left on the Docker engine's disk, so it could not {step} {object}; free some \
         (`docker system prune`)"
    )]
    DiskFull {
        /// What was asked.
        step: &'static str,
        /// Of what.
        object: String,
        /// The engine's answer.
        #[source]
        source: DockerError,
    },
    /// The engine is not there any more.
    #[error(
        "the Docker engine does not answer any more, so it could not {step} {object}: somebody stopped it, or \
         restarts it just now; start it if need be (`sudo systemctl start docker`, or open Docker Desktop)"
    )]
    Lost {
        /// What was asked.
        step: &'static str,
        /// Of what.
        object: String,
        /// What became of the connection.
        #[source]
        source: DockerError,
    },
    /// The engine refused a request.
    #[error("the Docker engine could not {step} {object}")]
    Refused {
        /// What was asked, such as `create container`.
        step: &'static str,
        /// Of what.
        object: String,
        /// The engine's answer.
        #[source]
        source: DockerError,
    },
    /// The engine was asked to load an archive, and does not have the image afterwards.
    #[error("the Docker engine loaded {} and does not have {reference}", archive.display())]
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
    File(#[from] StoreError),
}

impl Error {
    /// Nobody answers at this address.
    pub(super) fn stopped(endpoint: &str) -> impl FnOnce(DockerError) -> Self {
        let endpoint = endpoint.to_owned();
        move |source| Self::Stopped {
            endpoint,
            source: source.into(),
        }
    }

    /// Names what was asked of the engine, which had that long; a full disk, silence and an engine that is gone
    /// are kinds of their own.
    pub(super) fn refused(
        waited: Duration,
        step: &'static str,
        object: impl Into<String>,
    ) -> impl FnOnce(DockerError) -> Self {
        let object = object.into();
        move |source| match source {
            DockerError::RequestTimeoutError => Self::TimedOut {
                step,
                object,
                waited,
            },
            source if source.to_string().contains("no space left on device") => Self::DiskFull {
                step,
                object,
                source,
            },
            source if is_lost(&source) => Self::Lost {
                step,
                object,
                source,
            },
            source => Self::Refused {
                step,
                object,
                source,
            },
        }
    }

    /// The same for requests of the usual kind.
    pub(crate) fn request(
        step: &'static str,
        object: impl Into<String>,
    ) -> impl FnOnce(DockerError) -> Self {
        Self::refused(REQUEST, step, object)
    }
}

/// Is nobody there who could refuse? The socket is gone, nobody listens at it, or who did has ended.
fn is_lost(error: &DockerError) -> bool {
    let mut next: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(cause) = next {
        if let Some(error) = cause.downcast_ref::<io::Error>() {
            return matches!(
                error.kind(),
                io::ErrorKind::NotFound
                    | io::ErrorKind::ConnectionRefused
                    | io::ErrorKind::ConnectionReset
                    | io::ErrorKind::BrokenPipe
            );
        }
        next = cause.source();
    }
    false
}
