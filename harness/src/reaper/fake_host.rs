//! A host that only knows namespaces, over real HTTP: other processes talk to it.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper_util::rt::TokioIo;
use k8s_openapi::{
    api::core::v1::Namespace, apimachinery::pkg::apis::meta::v1::ObjectMeta, jiff::Timestamp,
};
use kube::config::Kubeconfig;
use serde_json::{Value, json};
use tokio::{net::TcpListener, sync::watch};

use crate::owner::key;

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
        let labels = namespace.metadata.labels.get_or_insert_default();
        labels.insert(key::MANAGED_BY.to_owned(), key::MANAGED_BY_US.to_owned());
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
    let (status, body) = state.answer(request.method(), &path, request.uri().query());
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
    fn answer(&self, method: &Method, path: &str, query: Option<&str>) -> (StatusCode, Value) {
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
            (&Method::DELETE, ["api", "v1", "namespaces", name]) => {
                match namespaces.remove(*name) {
                    Some(object) => (StatusCode::OK, object),
                    None => not_found(),
                }
            }
            (&Method::DELETE, ["api", "v1", "namespaces", _, "pods"]) => (
                StatusCode::OK,
                json!({"apiVersion": "v1", "kind": "PodList", "metadata": {}, "items": []}),
            ),
            _ => not_found(),
        }
    }
}

/// Enough of selectors: `labelSelector=key%3Dvalue` and `fieldSelector=metadata.name%3Dname`.
fn is_selected(object: &Value, query: &str) -> bool {
    query.split('&').all(|part| {
        let part = part.replace("%2F", "/").replace("%3D", "=");
        let Some((selector, rest)) = part.split_once('=') else {
            return true;
        };
        let Some((key, value)) = rest.split_once('=') else {
            return true;
        };
        match selector {
            "labelSelector" => object["metadata"]["labels"][key] == value,
            "fieldSelector" => object["metadata"]["name"] == value,
            _ => true,
        }
    })
}

fn not_found() -> (StatusCode, Value) {
    (
        StatusCode::NOT_FOUND,
        json!({
            "apiVersion": "v1", "kind": "Status", "metadata": {}, "status": "Failure",
            "reason": "NotFound", "code": 404, "message": "not found",
        }),
    )
}
