//! A host that only knows namespaces, over real HTTP: other processes talk to it.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper_util::rt::TokioIo;
use k8s_openapi::{
    api::core::v1::Namespace, apimachinery::pkg::apis::meta::v1::ObjectMeta, jiff::Timestamp,
};
use kube::config::Kubeconfig;
use serde_json::{Value, json};
use tokio::{net::TcpListener, sync::watch};

use crate::owner::{Owner, key};

/// Serves until it is dropped.
pub(crate) struct FakeHost {
    address: SocketAddr,
    state: Arc<State>,
    _runtime: tokio::runtime::Runtime,
}

struct State {
    namespaces: Mutex<BTreeMap<String, Value>>,
    /// Answers to anything but `/version` wait while this is true.
    stalled: watch::Sender<bool>,
    clock: Option<Timestamp>,
}

impl FakeHost {
    pub(crate) fn start() -> Self {
        Self::start_at(None)
    }

    /// A host whose clock shows `clock`.
    pub(crate) fn start_at(clock: Option<Timestamp>) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State {
            namespaces: Mutex::default(),
            stalled: watch::Sender::new(false),
            clock,
        });
        runtime.spawn(serve(listener, Arc::clone(&state)));
        Self {
            address,
            state,
            _runtime: runtime,
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn add(&self, mut namespace: Namespace) {
        let name = namespace.metadata.name.clone().unwrap();
        namespace.metadata.uid = Some(format!("uid-of-{name}"));
        namespace.metadata.resource_version = Some("1".to_owned());
        let labels = namespace.metadata.labels.get_or_insert_default();
        labels.insert(key::MANAGED_BY.to_owned(), key::MANAGED_BY_US.to_owned());
        labels.insert(key::CLUSTER.to_owned(), name.clone());
        let value = serde_json::to_value(namespace).unwrap();
        self.state.namespaces.lock().unwrap().insert(name, value);
    }

    /// Adds a namespace with a session's label.
    pub(crate) fn add_of_session(&self, name: &str, session: &str) {
        let labels = BTreeMap::from([(key::SESSION.to_owned(), session.to_owned())]);
        self.add(Namespace {
            metadata: ObjectMeta {
                name: Some(name.to_owned()),
                labels: Some(labels),
                ..ObjectMeta::default()
            },
            ..Namespace::default()
        });
    }

    pub(crate) fn namespaces(&self) -> Vec<String> {
        let namespaces = self.state.namespaces.lock().unwrap();
        namespaces.keys().cloned().collect()
    }

    /// The names that carry a session's label.
    pub(crate) fn of_session(&self, session: &str) -> Vec<String> {
        let namespaces = self.state.namespaces.lock().unwrap();
        let found = namespaces
            .iter()
            .filter(|(_, object)| object["metadata"]["labels"][key::SESSION] == session);
        found.map(|(name, _)| name.clone()).collect()
    }

    pub(crate) fn owner(&self, name: &str) -> Owner {
        let namespaces = self.state.namespaces.lock().unwrap();
        let object = serde_json::from_value::<Namespace>(namespaces[name].clone()).unwrap();
        Owner::of(&object.metadata).unwrap().unwrap()
    }

    pub(crate) fn stall(&self, stalled: bool) {
        self.state.stalled.send_replace(stalled);
    }
}

pub(crate) fn kubeconfig(url: &str) -> Kubeconfig {
    let yaml = format!(
        "{{apiVersion: v1, kind: Config, current-context: a,
          clusters: [{{name: a, cluster: {{server: '{url}'}}}}],
          users: [{{name: a, user: {{token: hush}}}}],
          contexts: [{{name: a, context: {{cluster: a, user: a}}}}]}}"
    );
    Kubeconfig::from_yaml(&yaml).unwrap()
}

pub(crate) async fn client(url: &str) -> kube::Client {
    let options = kube::config::KubeConfigOptions::default();
    let config = kube::Config::from_custom_kubeconfig(kubeconfig(url), &options)
        .await
        .unwrap();
    kube::Client::try_from(config).unwrap()
}

async fn serve(listener: TcpListener, state: Arc<State>) {
    while let Ok((stream, _)) = listener.accept().await {
        let state = Arc::clone(&state);
        tokio::spawn(async move {
            let service = hyper::service::service_fn(|request| answer(request, &state));
            // The client under test may be killed in the middle.
            drop(
                hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service)
                    .await,
            );
        });
    }
}

async fn answer(
    request: Request<Incoming>,
    state: &State,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let path = request.uri().path().to_owned();
    if path != "/version" {
        let mut stalled = state.stalled.subscribe();
        stalled.wait_for(|stalled| !stalled).await.unwrap();
    }
    let (parts, body) = request.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let (status, body) = state.answer(&parts.method, &path, parts.uri.query(), &body);
    let mut response = Response::builder().status(status);
    if let Some(clock) = state.clock {
        let date = jiff::fmt::rfc2822::to_string(&clock.to_zoned(jiff::tz::TimeZone::UTC));
        response = response.header("date", date.unwrap());
    }
    let response = response
        .header("content-type", "application/json")
        .body(Full::new(Bytes::from(body.to_string())));
    Ok(response.unwrap())
}

impl State {
    fn answer(
        &self,
        method: &Method,
        path: &str,
        query: Option<&str>,
        body: &[u8],
    ) -> (StatusCode, Value) {
        let mut namespaces = self.namespaces.lock().unwrap();
        let segments: Vec<_> = path.trim_matches('/').split('/').collect();
        match (method, &segments[..]) {
            (&Method::GET, ["version"]) => (StatusCode::OK, json!({"major": "1", "minor": "34"})),
            (&Method::GET, ["api", "v1", "namespaces"]) => {
                let wanted = query.unwrap_or_default();
                let items: Vec<_> = namespaces
                    .values()
                    .filter(|object| is_selected(object, wanted))
                    .collect();
                (
                    StatusCode::OK,
                    json!({
                        "apiVersion": "v1", "kind": "NamespaceList",
                        "metadata": {"resourceVersion": "1"}, "items": items,
                    }),
                )
            }
            (&Method::GET, ["api", "v1", "namespaces", name]) => match namespaces.get(*name) {
                Some(object) => (StatusCode::OK, object.clone()),
                None => status(StatusCode::NOT_FOUND, "NotFound"),
            },
            (&Method::PATCH, ["api", "v1", "namespaces", name]) => {
                let Some(object) = namespaces.get_mut(*name) else {
                    return status(StatusCode::NOT_FOUND, "NotFound");
                };
                let change: Value = serde_json::from_slice(body).unwrap();
                let version = &object["metadata"]["resourceVersion"];
                let wanted = &change["metadata"]["resourceVersion"];
                if !wanted.is_null() && wanted != version {
                    return status(StatusCode::CONFLICT, "Conflict");
                }
                let next = version.as_str().unwrap().parse::<u64>().unwrap() + 1;
                merge(object, &change);
                object["metadata"]["resourceVersion"] = next.to_string().into();
                (StatusCode::OK, object.clone())
            }
            (&Method::DELETE, ["api", "v1", "namespaces", name]) => {
                match namespaces.remove(*name) {
                    Some(object) => (StatusCode::OK, object),
                    None => status(StatusCode::NOT_FOUND, "NotFound"),
                }
            }
            (&Method::DELETE, ["api", "v1", "namespaces", _, "pods"]) => (
                StatusCode::OK,
                json!({"apiVersion": "v1", "kind": "PodList", "metadata": {}, "items": []}),
            ),
            _ => status(StatusCode::NOT_FOUND, "NotFound"),
        }
    }
}

/// Enough of selectors: `labelSelector=key%3Dvalue%2Ckey` and `fieldSelector=metadata.name%3Dname`.
fn is_selected(object: &Value, query: &str) -> bool {
    let metadata = &object["metadata"];
    query.split('&').all(|part| {
        let part = part
            .replace("%2F", "/")
            .replace("%3D", "=")
            .replace("%2C", ",");
        match part.split_once('=') {
            Some(("labelSelector", selectors)) => {
                selectors
                    .split(',')
                    .all(|selector| match selector.split_once('=') {
                        Some((key, value)) => metadata["labels"][key] == value,
                        None => !metadata["labels"][selector].is_null(),
                    })
            }
            Some(("fieldSelector", selector)) => {
                selector.strip_prefix("metadata.name=") == metadata["name"].as_str()
            }
            _ => true,
        }
    })
}

/// JSON merge patch, RFC 7396.
fn merge(target: &mut Value, patch: &Value) {
    let Some(fields) = patch.as_object() else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    for (name, value) in fields {
        if value.is_null() {
            target.as_object_mut().unwrap().remove(name);
        } else {
            merge(&mut target[name], value);
        }
    }
}

fn status(code: StatusCode, reason: &str) -> (StatusCode, Value) {
    (
        code,
        json!({
            "apiVersion": "v1", "kind": "Status", "metadata": {}, "status": "Failure",
            "reason": reason, "code": code.as_u16(), "message": reason,
        }),
    )
}
