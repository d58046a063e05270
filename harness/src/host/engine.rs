//! Finds the Docker engine that the user means and connects to it. Never starts or changes one.

use std::{
    io,
    path::{Path, PathBuf},
};

use bollard::{API_DEFAULT_VERSION, Docker};
use sha2::{Digest as _, Sha256};

use super::Error;
use crate::settings::{Environment, ProcessEnvironment};

/// Seconds that one request may take until its answer begins.
const REQUEST_TIMEOUT: u64 = 120;

/// A connection to a Docker engine. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Engine {
    docker: Docker,
    endpoint: String,
}

/// Where an engine may listen, and who says so.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Candidates {
    /// The user named it: this or nothing.
    Named {
        endpoint: String,
        origin: &'static str,
    },
    /// The usual sockets, in order.
    Usual(Vec<PathBuf>),
}

impl Engine {
    /// Connects to the engine that `DOCKER_HOST`, the current Docker context or the usual sockets give.
    ///
    /// # Errors
    /// There is none, it is stopped, or this user may not use it; the message says what to do.
    pub async fn connect() -> Result<Self, Error> {
        Self::connect_with(&ProcessEnvironment).await
    }

    /// Connects to the engine that `environment` means.
    ///
    /// # Errors
    /// As [`Engine::connect`].
    pub async fn connect_with(environment: &impl Environment) -> Result<Self, Error> {
        super::install_provider();
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
            return Err(Error::EngineAddress { endpoint, origin });
        }
        let docker = Docker::connect_with_host(&endpoint)
            .map_err(|source| Error::engine("be reached at", endpoint.clone())(source))?;
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
        Err(refusal.unwrap_or_else(|| Error::NoEngine {
            looked_at: sockets
                .iter()
                .map(|path| path.display().to_string())
                .collect::<Vec<_>>()
                .join(", "),
        }))
    }

    async fn over_socket(path: &Path) -> Result<Self, Error> {
        let endpoint = format!("unix://{}", path.display());
        let docker = Docker::connect_with_unix(&endpoint, REQUEST_TIMEOUT, API_DEFAULT_VERSION)
            .map_err(Error::engine("be reached at", endpoint.clone()))?;
        Self::negotiate(docker, endpoint).await
    }

    async fn negotiate(docker: Docker, endpoint: String) -> Result<Self, Error> {
        match docker.negotiate_version().await {
            Ok(docker) => Ok(Self { docker, endpoint }),
            Err(source) => Err(Error::EngineStopped {
                endpoint,
                source: source.into(),
            }),
        }
    }
}

/// Tells "nothing there", "may not" and "stopped" apart, which the API client does not.
async fn probe(path: &Path) -> io::Result<()> {
    tokio::net::UnixStream::connect(path).await.map(drop)
}

fn unusable(path: &Path, source: io::Error) -> Error {
    let endpoint = format!("unix://{}", path.display());
    match source.kind() {
        io::ErrorKind::PermissionDenied => Error::EngineForbidden { endpoint, source },
        io::ErrorKind::NotFound => Error::NoEngine {
            looked_at: path.display().to_string(),
        },
        _ => Error::EngineStopped {
            endpoint,
            source: source.into(),
        },
    }
}

fn candidates(environment: &impl Environment) -> Candidates {
    if let Some(endpoint) = environment.get("DOCKER_HOST") {
        return Candidates::Named {
            endpoint,
            origin: "DOCKER_HOST",
        };
    }
    let home = environment.get("HOME").map(PathBuf::from);
    let config = environment
        .get("DOCKER_CONFIG")
        .map(PathBuf::from)
        .or_else(|| home.as_ref().map(|home| home.join(".docker")));
    if let Some(endpoint) = config.and_then(|dir| context_endpoint(environment, &dir)) {
        return Candidates::Named {
            endpoint,
            origin: "the current Docker context",
        };
    }
    let mut sockets = vec![PathBuf::from("/var/run/docker.sock")];
    if let Some(dir) = environment.get("XDG_RUNTIME_DIR") {
        sockets.push(PathBuf::from(dir).join("docker.sock"));
    }
    if let Some(home) = home {
        sockets.extend(
            [
                ".docker/run/docker.sock",
                ".docker/desktop/docker.sock",
                ".orbstack/run/docker.sock",
                ".colima/default/docker.sock",
                ".rd/docker.sock",
            ]
            .map(|socket| home.join(socket)),
        );
    }
    Candidates::Usual(sockets)
}

/// The address in the Docker context that the user selected, if it is not the default one.
fn context_endpoint(environment: &impl Environment, config: &Path) -> Option<String> {
    let name = environment.get("DOCKER_CONTEXT").or_else(|| {
        let text = std::fs::read_to_string(config.join("config.json")).ok()?;
        let json: serde_json::Value = serde_json::from_str(&text).ok()?;
        Some(json.get("currentContext")?.as_str()?.to_owned())
    })?;
    if name == "default" {
        return None;
    }
    let directory = hex::encode(Sha256::digest(name.as_bytes()));
    let path = config
        .join("contexts/meta")
        .join(directory)
        .join("meta.json");
    let json: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(path).ok()?).ok()?;
    Some(json.pointer("/Endpoints/docker/Host")?.as_str()?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn docker_host_is_taken_alone() {
        let environment = [("DOCKER_HOST", "tcp://build:2375"), ("HOME", "/home/ada")];
        assert_eq!(
            candidates(&environment),
            Candidates::Named {
                endpoint: "tcp://build:2375".to_owned(),
                origin: "DOCKER_HOST"
            }
        );
    }

    #[test]
    fn the_usual_sockets_are_tried_in_order() {
        let environment = [("HOME", "/nowhere"), ("XDG_RUNTIME_DIR", "/run/user/7")];
        let Candidates::Usual(sockets) = candidates(&environment) else {
            panic!("nothing was named");
        };
        assert_eq!(sockets[0], Path::new("/var/run/docker.sock"));
        assert_eq!(sockets[1], Path::new("/run/user/7/docker.sock"));
        assert!(sockets.contains(&PathBuf::from("/nowhere/.colima/default/docker.sock")));
    }

    #[test]
    fn the_current_context_is_followed() {
        let home = tempfile::tempdir().unwrap();
        let config = home.path().join(".docker");
        let meta = config
            .join("contexts/meta")
            .join(hex::encode(Sha256::digest(b"colima")));
        std::fs::create_dir_all(&meta).unwrap();
        std::fs::write(config.join("config.json"), r#"{"currentContext":"colima"}"#).unwrap();
        std::fs::write(
            meta.join("meta.json"),
            r#"{"Name":"colima","Endpoints":{"docker":{"Host":"unix:///c.sock"}}}"#,
        )
        .unwrap();
        let environment = [("HOME", home.path().to_str().unwrap())];
        assert_eq!(
            candidates(&environment),
            Candidates::Named {
                endpoint: "unix:///c.sock".to_owned(),
                origin: "the current Docker context"
            }
        );
    }

    #[tokio::test]
    async fn an_engine_that_is_stopped_is_said_to_be() {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("docker.sock");
        drop(std::os::unix::net::UnixListener::bind(&socket).unwrap());
        let host = format!("unix://{}", socket.display());
        let error = Engine::connect_with(&[("DOCKER_HOST", host.as_str())])
            .await
            .unwrap_err();
        assert!(matches!(error, Error::EngineStopped { .. }), "{error}");
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
        assert!(matches!(error, Error::EngineAddress { .. }), "{error}");
    }
}
