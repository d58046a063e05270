//! A container engine that has images by name and nothing else, on a socket of its own.

use std::{
    collections::BTreeSet,
    path::Path,
    sync::{Arc, Mutex},
};

use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};

use super::super::directory;
use crate::engine::fake::{self, say};

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
    pub(super) images: BTreeSet<String>,
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
            images: images.iter().map(|image| (*image).to_owned()).collect(),
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
        self.state.lock().unwrap().images.contains(image)
    }
}

async fn answer(
    request: Request<Incoming>,
    registries: Registries,
    state: Arc<Mutex<State>>,
) -> Response<Full<Bytes>> {
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
                    state.lock().unwrap().images.insert(image);
                    say(StatusCode::OK, "{\"status\":\"Pulling\"}\n")
                }
            }
        }
        (&Method::POST, "images/load") => {
            let body = request.into_body().collect().await.unwrap().to_bytes();
            let mut file = tempfile::NamedTempFile::new().unwrap();
            std::io::Write::write_all(&mut file, &body).unwrap();
            let reference = directory::reference(file.path()).unwrap();
            state.lock().unwrap().images.insert(reference);
            say(StatusCode::OK, "{}")
        }
        (&Method::POST, _) if image.ends_with("/tag") => {
            let name = format!("{}:{}", parameter("repo"), parameter("tag"));
            state.lock().unwrap().images.insert(name);
            say(StatusCode::CREATED, "")
        }
        _ if image.ends_with("/json") => {
            let name = image.trim_end_matches("/json");
            if state.lock().unwrap().images.contains(name) {
                say(StatusCode::OK, &format!(r#"{{"Id":"sha256:of-{name}"}}"#))
            } else {
                say(StatusCode::NOT_FOUND, r#"{"message":"No such image"}"#)
            }
        }
        _ => say(
            StatusCode::NOT_IMPLEMENTED,
            r#"{"message":"not part of this fake"}"#,
        ),
    }
}
