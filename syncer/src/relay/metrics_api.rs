//! The API group `metrics.k8s.io` of the virtual cluster. Its API server has judged who may ask, and
//! sends the question here; the kubelets that the relay plays know the answer.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use futures::future::join_all;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::{Api, Client, ResourceExt, api::ListParams};
use serde_json::{Value, json};
use tracing::warn;

use super::{
    body::{self, Body},
    host_api::HostApi,
    metrics_table::{self, Included},
    query::Query,
    shared::SharedDirectory,
    summary,
    usage::{self, Summary, VERSION},
};

/// Answers questions about what pods and nodes use.
pub(super) struct MetricsApi {
    pub(super) directory: SharedDirectory,
    pub(super) host: HostApi,
    /// Knows the pods and nodes in the tenant's own words.
    pub(super) virtual_api: Client,
}

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Question {
    Resources,
    Nodes,
    Node(String),
    Pods(Option<String>),
    Pod { namespace: String, name: String },
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("only reading is possible here")]
    Method,
    /// Nobody tells when figures change.
    #[error("watch is not supported on what `metrics.k8s.io` serves: ask again instead")]
    Watch,
    #[error("there is no such path")]
    NoPath,
    #[error("{resource}.metrics.k8s.io \"{name}\" not found")]
    NoMetrics {
        resource: &'static str,
        name: String,
    },
    #[error("could not ask the API server")]
    Virtual(#[from] kube::Error),
    #[error("no node gives its figures")]
    Summary(#[from] summary::Error),
}

impl MetricsApi {
    /// Answers one request of the API server.
    pub(super) async fn answer<B>(&self, request: &Request<B>) -> Response<Body> {
        let query = Query::parse(request.uri().query().unwrap_or_default());
        let is_table = metrics_table::is_asked(request.headers());
        let answer = match parse(request.method(), request.uri().path(), &query) {
            Ok(question) => {
                let is_table = is_table && question != Question::Resources;
                let included = Included::parse(query.first("includeObject"));
                let answer = self.find(question, &query).await;
                answer.map(|it| {
                    if is_table {
                        metrics_table::table(&it, included)
                    } else {
                        it
                    }
                })
            }
            Err(error) => Err(error),
        };
        match answer {
            Ok(value) => respond(StatusCode::OK, &value),
            Err(error) => refuse(&error),
        }
    }

    async fn find(&self, question: Question, query: &Query) -> Result<Value, Error> {
        let nodes: Api<Node> = Api::all(self.virtual_api.clone());
        match question {
            Question::Resources => Ok(resources()),
            Question::Nodes => {
                let nodes = nodes.list(&selection(query)).await?.items;
                let figures = self
                    .figures(nodes.iter().map(ResourceExt::name_any))
                    .await?;
                let of_node = |node: &Node| usage::of_node(node, figures.get(&node.name_any())?);
                let items: Vec<_> = nodes.iter().filter_map(of_node).collect();
                Ok(usage::list("NodeMetrics", &items))
            }
            Question::Node(name) => {
                let node = nodes.get_opt(&name).await?;
                let figures = self.figures(node.iter().map(|_| name.clone())).await?;
                let found = node.and_then(|node| usage::of_node(&node, figures.get(&name)?));
                let resource = "nodemetrics";
                found.ok_or(Error::NoMetrics { resource, name })
            }
            Question::Pods(namespace) => {
                let pods = self.pods(namespace.as_deref());
                let pods = pods.list(&selection(query)).await?.items;
                let items = self.of_pods(&pods).await?;
                Ok(usage::list("PodMetrics", &items))
            }
            Question::Pod { namespace, name } => {
                let pod = self.pods(Some(&namespace)).get_opt(&name).await?;
                let mut found = self.of_pods(pod.as_slice()).await?;
                let resource = "podmetrics";
                let name = format!("{namespace}/{name}");
                found.pop().ok_or(Error::NoMetrics { resource, name })
            }
        }
    }

    async fn of_pods(&self, pods: &[Pod]) -> Result<Vec<Value>, Error> {
        let node = |pod: &Pod| pod.spec.as_ref()?.node_name.clone();
        let figures = self.figures(pods.iter().filter_map(node)).await?;
        let of_pod = |pod: &Pod| usage::of_pod(pod, figures.get(&node(pod)?)?);
        Ok(pods.iter().filter_map(of_pod).collect())
    }

    fn pods(&self, namespace: Option<&str>) -> Api<Pod> {
        let client = self.virtual_api.clone();
        match namespace {
            Some(namespace) => Api::namespaced(client, namespace),
            None => Api::all(client),
        }
    }

    /// The figures of these nodes, as far as they can be had; it is an error if there are none at all.
    async fn figures(
        &self,
        nodes: impl Iterator<Item = String>,
    ) -> Result<BTreeMap<String, Arc<Summary>>, Error> {
        let nodes: BTreeSet<String> = nodes.collect();
        let answers = nodes.iter().map(async |node| {
            let summary = summary::read(&self.host, &self.directory, node).await;
            let figures = summary.and_then(summary::figures);
            (node.clone(), figures)
        });
        let mut figures = BTreeMap::new();
        let mut problem = None;
        for (node, answer) in join_all(answers).await {
            match answer {
                Ok(summary) => {
                    figures.insert(node, Arc::new(summary));
                }
                Err(error) => {
                    warn!(%node, error = &error as &dyn std::error::Error, "no figures of a node");
                    problem = Some(error);
                }
            }
        }
        match problem {
            Some(error) if figures.is_empty() => Err(error.into()),
            _ => Ok(figures),
        }
    }
}

fn parse(method: &Method, path: &str, query: &Query) -> Result<Question, Error> {
    if method != Method::GET {
        return Err(Error::Method);
    }
    let own = |text: &str| text.to_owned();
    let rest = path.strip_prefix("/apis/metrics.k8s.io/v1beta1");
    let rest = rest.and_then(|rest| rest.strip_prefix('/').or(rest.is_empty().then_some("")));
    let segments: Vec<&str> = rest.ok_or(Error::NoPath)?.split('/').collect();
    let watches = query.first("watch");
    let is_watch = watches.is_some_and(|it| matches!(it, b"" | b"1" | b"t" | b"true" | b"True"));
    match segments[..] {
        [""] => Ok(Question::Resources),
        _ if is_watch => Err(Error::Watch),
        ["watch", ..] => Err(Error::Watch),
        ["nodes"] => Ok(Question::Nodes),
        ["nodes", name] => Ok(Question::Node(own(name))),
        ["pods"] => Ok(Question::Pods(None)),
        ["namespaces", namespace, "pods"] => Ok(Question::Pods(Some(own(namespace)))),
        ["namespaces", namespace, "pods", name] => Ok(Question::Pod {
            namespace: own(namespace),
            name: own(name),
        }),
        _ => Err(Error::NoPath),
    }
}

/// The choice of objects, which is the same for the objects themselves.
fn selection(query: &Query) -> ListParams {
    let text = |key| {
        let value = query
            .first(key)
            .and_then(|value| str::from_utf8(value).ok());
        value.filter(|value| !value.is_empty()).map(str::to_owned)
    };
    ListParams {
        label_selector: text("labelSelector"),
        field_selector: text("fieldSelector"),
        ..ListParams::default()
    }
}

fn resources() -> Value {
    let resource = |name: &str, kind: &str, namespaced: bool| {
        json!({
            "name": name, "singularName": "", "kind": kind, "namespaced": namespaced,
            "verbs": ["get", "list"],
        })
    };
    json!({
        "kind": "APIResourceList", "apiVersion": "v1", "groupVersion": VERSION,
        "resources": [resource("nodes", "NodeMetrics", false), resource("pods", "PodMetrics", true)],
    })
}

fn refuse(error: &Error) -> Response<Body> {
    let (status, reason) = match error {
        Error::Method | Error::Watch => (StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed"),
        Error::NoPath | Error::NoMetrics { .. } => (StatusCode::NOT_FOUND, "NotFound"),
        Error::Virtual(kube::Error::Api(status)) => {
            let code = StatusCode::from_u16(status.code);
            (code.unwrap_or(StatusCode::BAD_GATEWAY), "")
        }
        Error::Virtual(_) | Error::Summary(_) => {
            (StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable")
        }
    };
    let status_object = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "code": status.as_u16(), "reason": reason, "message": error.to_string(),
    });
    respond(status, &status_object)
}

fn respond(status: StatusCode, value: &Value) -> Response<Body> {
    let mut response = Response::new(body::text(value.to_string()));
    *response.status_mut() = status;
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    response
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::resources("", "Ok(Resources)")]
    #[case::nodes("/nodes", "Ok(Nodes)")]
    #[case::a_node("/nodes/worker", r#"Ok(Node("worker"))"#)]
    #[case::pods("/pods", "Ok(Pods(None))")]
    #[case::pods_of_a_namespace("/namespaces/team/pods", r#"Ok(Pods(Some("team")))"#)]
    #[case::a_pod(
        "/namespaces/team/pods/web",
        r#"Ok(Pod { namespace: "team", name: "web" })"#
    )]
    #[case::something_else("/secrets", "Err(NoPath)")]
    #[case::something_longer("/nodes/worker/proxy", "Err(NoPath)")]
    fn questions_are_understood(#[case] path: &str, #[case] expected: &str) {
        let path = format!("/apis/metrics.k8s.io/v1beta1{path}");
        let query = Query::parse("watch=false");
        let asked = parse(&Method::GET, &path, &query);
        assert_eq!(format!("{asked:?}"), expected);
        let told = parse(&Method::POST, &path, &query);
        assert!(matches!(told, Err(Error::Method)));
    }

    #[test]
    fn other_groups_are_not_served() {
        for path in [
            "/apis",
            "/api/v1/pods",
            "/apis/metrics.k8s.io/v1beta10/pods",
        ] {
            let asked = parse(&Method::GET, path, &Query::default());
            assert!(asked.is_err(), "{path}");
        }
    }

    #[rstest]
    #[case::as_clients_ask("/nodes", "watch=true")]
    #[case::of_one("/namespaces/team/pods/web", "resourceVersion=0&watch=1")]
    #[case::as_they_asked_once("/watch/nodes", "")]
    fn watches_are_refused(#[case] path: &str, #[case] query: &str) {
        let path = format!("/apis/metrics.k8s.io/v1beta1{path}");
        let error = parse(&Method::GET, &path, &Query::parse(query)).unwrap_err();
        assert_eq!(refuse(&error).status(), StatusCode::METHOD_NOT_ALLOWED);
    }

    #[test]
    fn selectors_are_passed_on() {
        let query = Query::parse("labelSelector=app%3Dweb&fieldSelector=&limit=500");
        let selection = selection(&query);
        assert_eq!(selection.label_selector.as_deref(), Some("app=web"));
        assert_eq!(selection.field_selector, None);
    }
}
