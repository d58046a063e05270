//! A container engine that has images by name and nothing else, on a socket of its own.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{Arc, Mutex},
};

use http::{Method, Request, StatusCode};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;

use super::super::directory;
use crate::engine::fake::{self, Said, say};

/// What the registries behind the engine do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Registries {
    /// They have everything.
    Generous,
    /// Their names do not resolve.
    Unknown,
    /// They never answer.
    Silent,
    /// They do not have what is asked for.
    Empty,
}

/// What the engine has and was asked for.
#[derive(Debug, Default)]
pub(super) struct State {
    /// By name, with the digest if they were pulled.
    pub(super) images: BTreeMap<String, Option<String>>,
    /// What the registries have under every name.
    pub(super) content: String,
    pub(super) pulls: Vec<String>,
}

/// The engine. It goes with the runtime of its test.
#[derive(Debug)]
pub(super) struct FakeEngine {
    pub(super) state: Arc<Mutex<State>>,
    pub(super) address: String,
}

impl FakeEngine {
    /// An engine with these images.
    pub(super) fn start(directory: &Path, registries: Registries, images: &[&str]) -> Self {
        let state = State {
            images: images
                .iter()
                .map(|image| ((*image).to_owned(), None))
                .collect(),
            content: "sha256:first".to_owned(),
            pulls: Vec::new(),
        };
        let state = Arc::new(Mutex::new(state));
        let shared = state.clone();
        let address = fake::serve(directory, move |request| {
            answer(request, registries, shared.clone())
        });
        Self { state, address }
    }

    pub(super) fn pulls(&self) -> Vec<String> {
        self.state.lock().unwrap().pulls.clone()
    }

    pub(super) fn has(&self, image: &str) -> bool {
        self.state.lock().unwrap().images.contains_key(image)
    }

    /// As `docker image rm` does.
    pub(super) fn remove(&self, image: &str) {
        self.state.lock().unwrap().images.remove(image);
    }

    /// Another content under every name from now on.
    pub(super) fn change(&self, content: &str) {
        content.clone_into(&mut self.state.lock().unwrap().content);
    }
}

async fn answer(
    request: Request<Incoming>,
    registries: Registries,
    state: Arc<Mutex<State>>,
) -> Said {
    let path = request.uri().path().to_owned();
    let path = match path.strip_prefix("/v1.") {
        Some(rest) => rest.split_once('/').map_or("", |(_, rest)| rest).to_owned(),
        None => path.trim_start_matches('/').to_owned(),
    };
    let query = request
        .uri()
        .query()
        .unwrap_or_default()
        .replace("%2F", "/")
        .replace("%3A", ":")
        .replace("%40", "@");
    let parameter = |name: &str| {
        query
            .split('&')
            .find_map(|pair| pair.strip_prefix(&format!("{name}=")))
            .unwrap_or_default()
            .to_owned()
    };
    let image = path.trim_start_matches("images/").to_owned();
    match (request.method(), path.as_str()) {
        (_, "version") => say(StatusCode::OK, r#"{"ApiVersion":"1.45"}"#),
        (&Method::POST, "images/create") => {
            let image = parameter("fromImage");
            state.lock().unwrap().pulls.push(image.clone());
            match registries {
                Registries::Silent => std::future::pending().await,
                Registries::Unknown => say(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    r#"{"message":"dial tcp: lookup x: no such host"}"#,
                ),
                Registries::Empty => {
                    say(StatusCode::NOT_FOUND, r#"{"message":"manifest unknown"}"#)
                }
                Registries::Generous => {
                    let mut state = state.lock().unwrap();
                    let asked = image.split_once('@').map(|(_, digest)| digest.to_owned());
                    let content = asked.unwrap_or_else(|| state.content.clone());
                    state.images.insert(image, Some(content));
                    say(StatusCode::OK, "{\"status\":\"Pulling\"}\n")
                }
            }
        }
        (&Method::POST, "images/load") => {
            let body = request.into_body().collect().await.unwrap().to_bytes();
            let mut file = tempfile::NamedTempFile::new().unwrap();
            std::io::Write::write_all(&mut file, &body).unwrap();
            let reference = directory::reference(file.path()).unwrap();
            state.lock().unwrap().images.insert(reference, None);
            say(StatusCode::OK, "{}")
        }
        (&Method::POST, _) if image.ends_with("/tag") => {
            let name = format!("{}:{}", parameter("repo"), parameter("tag"));
            let mut state = state.lock().unwrap();
            let content = state.images.get(image.trim_end_matches("/tag")).cloned();
            state.images.insert(name, content.flatten());
            say(StatusCode::CREATED, "")
        }
        _ if image.ends_with("/json") => {
            let name = image.trim_end_matches("/json");
            match state.lock().unwrap().images.get(name) {
                Some(None) => say(StatusCode::OK, &format!(r#"{{"Id":"sha256:of-{name}"}}"#)),
                Some(Some(digest)) => say(
                    StatusCode::OK,
                    &format!(r#"{{"Id":"sha256:of-{name}","RepoDigests":["x/y@{digest}"]}}"#),
                ),
                None => say(StatusCode::NOT_FOUND, r#"{"message":"No such image"}"#),
            }
        }
        _ => say(
            StatusCode::NOT_IMPLEMENTED,
            r#"{"message":"not part of this fake"}"#,
        ),
    }
}
