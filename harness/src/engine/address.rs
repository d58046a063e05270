//! Where the Docker engine is that the user means: the environment, the current Docker context, or the
//! usual sockets. Nothing is connected to.

use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use crate::settings::Environment;

/// Where an engine may listen, and who says so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Candidates {
    /// The user named it: this or nothing.
    Named {
        endpoint: String,
        origin: &'static str,
    },
    /// The usual sockets, in order.
    Usual(Vec<PathBuf>),
}

pub(super) fn candidates(environment: &impl Environment) -> Candidates {
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
}
