//! Requests to a kubelet, read into values. What is not understood is not passed on: every part
//! that reaches the host was checked here and is written anew.

use http::Method;

use super::{query::Query, refusal::Refusal};
use crate::ObjectKey;

/// What a kubelet is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum KubeletRequest {
    /// Is it well?
    Healthz,
    /// The pods bound to its node.
    Pods,
    /// The pods that run on its node.
    RunningPods,
    /// What pods use, as JSON.
    Summary,
    /// Metrics, from this path.
    Metrics(&'static str),
    /// Something with one pod.
    Pod(PodRequest),
}

/// What is asked for with one pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PodRequest {
    /// The pod.
    pub(super) pod: ObjectKey,
    /// The uid that it must have.
    pub(super) uid: Option<String>,
    /// What to do with it.
    pub(super) action: Action,
}

/// What to do with a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Action {
    /// Read a container's log.
    Logs {
        /// Which container.
        container: String,
        /// How much of it, as the host's API takes it.
        options: Vec<(&'static str, String)>,
    },
    /// Run a command in a container.
    Exec {
        /// Which container.
        container: String,
        /// Which streams.
        streams: Streams,
        /// The command and its arguments; any bytes.
        command: Vec<Vec<u8>>,
    },
    /// Attach to a container's process.
    Attach {
        /// Which container.
        container: String,
        /// Which streams.
        streams: Streams,
    },
    /// Forward connections to ports of the pod.
    PortForward {
        /// Which, if the protocol does not say.
        ports: Vec<u16>,
    },
}

/// The streams of an exec or attach.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "the protocol has four switches"
)]
pub(super) struct Streams {
    /// Standard input.
    pub(super) input: bool,
    /// Standard output.
    pub(super) output: bool,
    /// Standard error.
    pub(super) error: bool,
    /// A terminal, which has no standard error of its own.
    pub(super) tty: bool,
}

impl KubeletRequest {
    /// Reads a request as the API server, or a tenant through it, sends it to a kubelet.
    ///
    /// # Errors
    ///
    /// Paths that are not for tenants, names that are none, options that make no sense.
    pub(super) fn parse(method: &Method, path: &str, query: Option<&str>) -> Result<Self, Refusal> {
        let no_path = || Refusal::NoPath {
            path: path.escape_default().take(300).collect(),
        };
        let segments: Vec<&str> = path
            .strip_prefix('/')
            .ok_or_else(no_path)?
            .split('/')
            .collect();
        let query = Query::parse(query.unwrap_or_default());
        let (allowed, request) = match segments[..] {
            ["healthz"] => (&[Method::GET][..], Self::Healthz),
            ["pods"] => (&[Method::GET][..], Self::Pods),
            ["stats", "summary"] => (&[Method::GET][..], Self::Summary),
            ["metrics"] => (&[Method::GET][..], Self::Metrics("metrics")),
            ["metrics", "cadvisor"] => (&[Method::GET][..], Self::Metrics("metrics/cadvisor")),
            ["metrics", "probes"] => (&[Method::GET][..], Self::Metrics("metrics/probes")),
            ["metrics", "resource"] => (&[Method::GET][..], Self::Metrics("metrics/resource")),
            // The kubelet's own path ends with a slash.
            ["runningpods"] | ["runningpods", ""] => (&[Method::GET][..], Self::RunningPods),
            ["containerLogs", namespace, pod, container] => {
                let action = Action::Logs {
                    container: container_name(container)?,
                    options: log_options(&query)?,
                };
                (
                    &[Method::GET][..],
                    pod_request(namespace, pod, None, action)?,
                )
            }
            ["exec", namespace, pod, container] => (
                STREAMING,
                pod_request(namespace, pod, None, exec(container, &query)?)?,
            ),
            ["exec", namespace, pod, uid, container] => (
                STREAMING,
                pod_request(namespace, pod, Some(uid), exec(container, &query)?)?,
            ),
            ["attach", namespace, pod, container] => (
                STREAMING,
                pod_request(namespace, pod, None, attach(container, &query)?)?,
            ),
            ["attach", namespace, pod, uid, container] => (
                STREAMING,
                pod_request(namespace, pod, Some(uid), attach(container, &query)?)?,
            ),
            ["portForward", namespace, pod] => (
                STREAMING,
                pod_request(namespace, pod, None, port_forward(&query)?)?,
            ),
            ["portForward", namespace, pod, uid] => (
                STREAMING,
                pod_request(namespace, pod, Some(uid), port_forward(&query)?)?,
            ),
            _ => return Err(no_path()),
        };
        if allowed.contains(method) {
            Ok(request)
        } else {
            Err(Refusal::Method)
        }
    }
}

/// Websockets open streams with GET, SPDY with POST.
const STREAMING: &[Method] = &[Method::GET, Method::POST];

fn pod_request(
    namespace: &str,
    pod: &str,
    uid: Option<&str>,
    action: Action,
) -> Result<KubeletRequest, Refusal> {
    if !is_label(namespace) || pod.len() > 253 || !pod.split('.').all(is_label) {
        return Err(malformed("namespace or pod"));
    }
    let is_uid = |uid: &&str| {
        (1..=64).contains(&uid.len()) && uid.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    if uid.is_some_and(|uid| !is_uid(&uid)) {
        return Err(malformed("uid"));
    }
    Ok(KubeletRequest::Pod(PodRequest {
        pod: ObjectKey::namespaced(namespace, pod),
        uid: uid.map(str::to_owned),
        action,
    }))
}

fn exec(container: &str, query: &Query) -> Result<Action, Refusal> {
    let command: Vec<Vec<u8>> = query.all("command").map(<[u8]>::to_vec).collect();
    if command.is_empty() {
        return Err(malformed("command"));
    }
    Ok(Action::Exec {
        container: container_name(container)?,
        streams: streams(query)?,
        command,
    })
}

fn attach(container: &str, query: &Query) -> Result<Action, Refusal> {
    Ok(Action::Attach {
        container: container_name(container)?,
        streams: streams(query)?,
    })
}

fn port_forward(query: &Query) -> Result<Action, Refusal> {
    let port = |text: &[u8]| {
        let text = str::from_utf8(text).ok()?;
        text.parse().ok().filter(|&port| port != 0)
    };
    let ports = query
        .all("port")
        .flat_map(|list| list.split(|&byte| byte == b','))
        .map(|text| port(text).ok_or_else(|| malformed("port")))
        .collect::<Result<_, _>>()?;
    Ok(Action::PortForward { ports })
}

/// As the kubelet reads them: `1` and nothing else is yes.
fn streams(query: &Query) -> Result<Streams, Refusal> {
    let is_set = |key| query.first(key) == Some(b"1");
    let tty = is_set("tty");
    let streams = Streams {
        input: is_set("input"),
        output: is_set("output"),
        error: is_set("error") && !tty,
        tty,
    };
    if streams.input || streams.output || streams.error {
        Ok(streams)
    } else {
        Err(Refusal::Malformed(
            "you must specify at least 1 of stdin, stdout, stderr".to_owned(),
        ))
    }
}

fn log_options(query: &Query) -> Result<Vec<(&'static str, String)>, Refusal> {
    let mut options = Vec::new();
    for key in ["follow", "previous", "timestamps"] {
        // Kubernetes takes any value but these for yes, even none.
        if query
            .first(key)
            .is_some_and(|value| !matches!(value, b"false" | b"0"))
        {
            options.push((key, "true".to_owned()));
        }
    }
    for key in ["sinceSeconds", "tailLines", "limitBytes"] {
        if let Some(value) = text(query, key)? {
            let number: i64 = value.parse().map_err(|_| malformed(key))?;
            options.push((key, number.to_string()));
        }
    }
    // What the kubelet's own old clients say.
    if let Some(tail) = text(query, "tail")?.filter(|&tail| tail != "all") {
        let number: i64 = tail.parse().map_err(|_| malformed("tail"))?;
        options.retain(|(key, _)| *key != "tailLines");
        options.push(("tailLines", number.to_string()));
    }
    if let Some(value) = text(query, "sinceTime")? {
        let time: jiff::Timestamp = value.parse().map_err(|_| malformed("sinceTime"))?;
        options.push(("sinceTime", time.to_string()));
    }
    // Hosts without split streams refuse the key, and all is what they give anyway.
    match text(query, "stream")? {
        None | Some("" | "All") => {}
        Some(stream @ ("Stdout" | "Stderr")) => options.push(("stream", stream.to_owned())),
        Some(_) => return Err(malformed("stream")),
    }
    Ok(options)
}

fn text<'a>(query: &'a Query, key: &'static str) -> Result<Option<&'a str>, Refusal> {
    let value = query.first(key).map(str::from_utf8).transpose();
    value.map_err(|_| malformed(key))
}

fn container_name(name: &str) -> Result<String, Refusal> {
    if is_label(name) {
        Ok(name.to_owned())
    } else {
        Err(malformed("container"))
    }
}

/// Names of Kubernetes objects need no escapes in a path, so a name with one is no name.
fn is_label(label: &str) -> bool {
    (1..=63).contains(&label.len())
        && label
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && !label.starts_with('-')
        && !label.ends_with('-')
}

fn malformed(what: &str) -> Refusal {
    Refusal::Malformed(format!("the {what} in the request is not valid"))
}
