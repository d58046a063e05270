//! Connects to the Docker engine that the user means. Never starts or changes one.

use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use bollard::{API_DEFAULT_VERSION, Docker, errors::Error as DockerError};

use super::{
    Error,
    address::{Candidates, candidates},
};
use crate::{
    host::install_provider,
    settings::{Environment, ProcessEnvironment},
};

/// How long one request may take until its answer begins. Starting a container takes seconds, on a machine
/// that swaps a minute.
pub(crate) const REQUEST: Duration = Duration::from_mins(2);

/// The whole of an answer that comes in parts: the client's own limit is for its beginning alone.
pub(crate) async fn whole<T>(
    limit: Duration,
    answer: impl Future<Output = Result<T, DockerError>>,
) -> Result<T, DockerError> {
    let ended = tokio::time::timeout(limit, answer).await;
    ended.unwrap_or(Err(DockerError::RequestTimeoutError))
}

/// An engine that has not said a word by then hangs.
const FIRST_WORD: Duration = Duration::from_secs(10);

/// A connection to a Docker engine. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Engine {
    pub(super) docker: Docker,
    endpoint: String,
}

impl Engine {
    /// Connects to the engine that `DOCKER_HOST`, the current Docker context or the usual sockets give.
    ///
    /// # Errors
    /// There is none, it is stopped or hangs, or this user may not use it; the message says what to do.
    pub async fn connect() -> Result<Self, Error> {
        Self::connect_with(&ProcessEnvironment).await
    }

    /// Connects to the engine that `environment` means.
    ///
    /// # Errors
    /// As [`Engine::connect`].
    pub async fn connect_with(environment: &impl Environment) -> Result<Self, Error> {
        install_provider();
        match candidates(environment) {
            Candidates::Named { endpoint, origin } => Self::named(endpoint, origin).await,
            Candidates::Usual(sockets) => Self::first_of(&sockets).await,
        }
    }

    /// The client of the engine's API.
    pub fn docker(&self) -> &Docker {
        &self.docker
    }

    /// Where it listens, such as `unix:///var/run/docker.sock`.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Does it run on this machine (or a virtual machine of it)?
    pub fn is_local(&self) -> bool {
        self.endpoint.starts_with("unix://")
    }

    async fn named(endpoint: String, origin: &'static str) -> Result<Self, Error> {
        if let Some(path) = endpoint.strip_prefix("unix://") {
            let path = PathBuf::from(path);
            return match probe(&path).await {
                Ok(()) => Self::over_socket(&path).await,
                Err(error) => Err(unusable(&path, error)),
            };
        }
        let known = ["tcp://", "http://", "https://"];
        if !known.iter().any(|scheme| endpoint.starts_with(scheme)) {
            return Err(Error::Address { endpoint, origin });
        }
        let docker = Docker::connect_with_host(&endpoint)
            .map_err(Error::stopped(&endpoint))?
            .with_timeout(REQUEST);
        Self::negotiate(docker, endpoint).await
    }

    async fn first_of(sockets: &[PathBuf]) -> Result<Self, Error> {
        let mut refusal = None;
        for path in sockets {
            match probe(path).await {
                Ok(()) => return Self::over_socket(path).await,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                // The first one that exists is the one to complain about.
                Err(error) => {
                    refusal.get_or_insert_with(|| unusable(path, error));
                }
            }
        }
        Err(refusal.unwrap_or_else(|| Error::Missing {
            looked_at: sockets
                .iter()
                .map(|path| path.display().to_string())
                .collect::<Vec<_>>()
                .join(", "),
        }))
    }

    async fn over_socket(path: &Path) -> Result<Self, Error> {
        let endpoint = format!("unix://{}", path.display());
        let docker = Docker::connect_with_unix(&endpoint, REQUEST.as_secs(), API_DEFAULT_VERSION)
            .map_err(Error::stopped(&endpoint))?;
        Self::negotiate(docker, endpoint).await
    }

    async fn negotiate(docker: Docker, endpoint: String) -> Result<Self, Error> {
        match tokio::time::timeout(FIRST_WORD, docker.negotiate_version()).await {
            Ok(Ok(docker)) => Ok(Self { docker, endpoint }),
            Ok(Err(source)) => Err(Error::stopped(&endpoint)(source)),
            Err(_) => Err(Error::Silent {
                endpoint,
                waited: FIRST_WORD,
            }),
        }
    }
}

/// Tells "nothing there", "may not" and "stopped" apart, which the API client does not. One that accepts
/// no more connections waits: that it is silent comes to light afterwards.
async fn probe(path: &Path) -> io::Result<()> {
    match tokio::time::timeout(FIRST_WORD, tokio::net::UnixStream::connect(path)).await {
        Ok(connected) => connected.map(drop),
        Err(_) => Ok(()),
    }
}

fn unusable(path: &Path, source: io::Error) -> Error {
    let endpoint = format!("unix://{}", path.display());
    match source.kind() {
        io::ErrorKind::PermissionDenied => Error::Forbidden { endpoint, source },
        io::ErrorKind::NotFound => Error::Missing {
            looked_at: path.display().to_string(),
        },
        _ => Error::Stopped {
            endpoint,
            source: source.into(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::fake::{self, Answer};

    #[tokio::test]
    async fn an_engine_that_is_stopped_is_said_to_be() {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("docker.sock");
        drop(std::os::unix::net::UnixListener::bind(&socket).unwrap());
        let host = format!("unix://{}", socket.display());
        let error = Engine::connect_with(&[("DOCKER_HOST", host.as_str())])
            .await
            .unwrap_err();
        assert!(matches!(error, Error::Stopped { .. }), "{error}");
        assert!(error.to_string().contains("systemctl start docker"));
    }

    #[tokio::test]
    async fn no_engine_says_where_it_was_looked_for() {
        let error = Engine::connect_with(&[("DOCKER_HOST", "unix:///nowhere/docker.sock")])
            .await
            .unwrap_err();
        assert!(error.to_string().contains("/nowhere/docker.sock"));
    }

    #[tokio::test]
    async fn an_unknown_scheme_is_refused_with_the_valid_ones() {
        let error = Engine::connect_with(&[("DOCKER_HOST", "ssh://build")])
            .await
            .unwrap_err();
        assert!(matches!(error, Error::Address { .. }), "{error}");
    }

    #[tokio::test(start_paused = true)]
    async fn an_engine_that_never_answers_is_said_to_hang() {
        let dir = tempfile::tempdir().unwrap();
        let host = fake::start(dir.path(), |_| Answer::Never);
        let error = Engine::connect_with(&[("DOCKER_HOST", host.as_str())])
            .await
            .unwrap_err();
        assert!(matches!(error, Error::Silent { .. }), "{error}");
        let text = error.to_string();
        assert!(
            text.contains("within 10 s") && text.contains("restart"),
            "{text}"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn an_engine_that_stops_answering_is_not_waited_for_without_end() {
        let dir = tempfile::tempdir().unwrap();
        let host = fake::start(dir.path(), |path| {
            if path.ends_with("/version") {
                Answer::Says(200, r#"{"ApiVersion":"1.45"}"#)
            } else {
                Answer::Never
            }
        });
        let engine = Engine::connect_with(&[("DOCKER_HOST", host.as_str())])
            .await
            .unwrap();
        let listed = engine.docker().list_networks(None).await;
        let error = Error::refused(REQUEST, "list", "networks")(listed.unwrap_err());
        assert!(matches!(error, Error::TimedOut { .. }), "{error}");
        assert!(error.to_string().contains("within 120 s"), "{error}");
    }

    /// The engine ends with its runtime, as one that is stopped.
    #[test]
    fn an_engine_that_was_stopped_meanwhile_is_said_to_be() {
        let dir = tempfile::tempdir().unwrap();
        let (theirs, ours) = (runtime(), runtime());
        let host = theirs.block_on(async {
            fake::start(dir.path(), |_| {
                Answer::Says(200, r#"{"ApiVersion":"1.45"}"#)
            })
        });
        let environment = [("DOCKER_HOST", host.as_str())];
        let engine = ours.block_on(Engine::connect_with(&environment)).unwrap();
        drop(theirs);
        let listed = || ours.block_on(engine.docker().list_networks(None));
        let told = || Error::request("list", "networks")(listed().unwrap_err());
        // Nobody listens at its socket; then that is gone as well.
        assert!(matches!(told(), Error::Lost { .. }), "{}", told());
        std::fs::remove_file(dir.path().join("engine.sock")).unwrap();
        assert!(matches!(told(), Error::Lost { .. }), "{}", told());
        assert!(told().to_string().contains("systemctl start docker"));
    }

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Runtime::new().unwrap()
    }
}
