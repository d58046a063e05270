//! The kubelet that the relay plays for each node: it answers for the pods of one virtual cluster
//! and passes streams on to the host's API.

use std::borrow::Cow;

use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use hyper::{body::Incoming, upgrade::OnUpgrade};
use tracing::{debug, warn};

use super::{
    body::{self, Body},
    headers,
    host_api::{self, HostApi},
    host_path::host_path,
    kubelet_request::{Action, KubeletRequest, PodRequest},
    metrics_text,
    options::Limits,
    records::PodRecord,
    refusal::Refusal,
    shared::SharedDirectory,
    summary,
};

/// Answers for all nodes.
pub(super) struct Kubelet {
    pub(super) directory: SharedDirectory,
    pub(super) host: HostApi,
    /// Knows the pods in the tenant's own words.
    pub(super) virtual_api: kube::Client,
    /// The host lets the relay read its nodes' metrics.
    pub(super) gives_metrics: bool,
    pub(super) limits: Limits,
}

/// Both ends of a stream that is about to open.
pub(super) struct Stream {
    pub(super) virtual_end: OnUpgrade,
    pub(super) host_end: OnUpgrade,
}

/// Why a request has no other answer.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(transparent)]
    Refusal(#[from] Refusal),
    #[error(transparent)]
    Host(#[from] host_api::Error),
    #[error("could not ask the API server for its pods")]
    Virtual(#[source] kube::Error),
    #[error(transparent)]
    Summary(summary::Error),
}

impl Kubelet {
    /// Answers one request to `node`.
    pub(super) async fn answer(
        &self,
        node: &str,
        request: Request<Incoming>,
    ) -> (Response<Body>, Option<Stream>) {
        let parsed = KubeletRequest::parse(
            request.method(),
            request.uri().path(),
            request.uri().query(),
        );
        let answer = match parsed {
            Ok(KubeletRequest::Healthz) => Ok((text(StatusCode::OK, "ok"), None)),
            Ok(KubeletRequest::Pods) => self.pods(node, "").await,
            Ok(KubeletRequest::RunningPods) => self.pods(node, ",status.phase=Running").await,
            Ok(KubeletRequest::Summary | KubeletRequest::Metrics(_)) if !self.gives_metrics => {
                Err(Refusal::NoMetrics.into())
            }
            Ok(KubeletRequest::Summary) => self.summary(node).await,
            Ok(KubeletRequest::Metrics(path)) => self.metrics(node, path).await,
            Ok(KubeletRequest::Pod(wanted)) => self.pod(node, wanted, request).await,
            Err(refusal) => Err(refusal.into()),
        };
        answer.unwrap_or_else(|error| (refuse(node, &error), None))
    }

    async fn pods(
        &self,
        node: &str,
        condition: &str,
    ) -> Result<(Response<Body>, Option<Stream>), Error> {
        let selector = format!("spec.nodeName={node}{condition}");
        let mut target = "/api/v1/pods".to_owned();
        super::query::append(&mut target, "fieldSelector", selector.as_bytes());
        let request = Request::get(target).body(kube::client::Body::empty());
        let request = request.map_err(host_api::Error::from)?;
        let response = self
            .virtual_api
            .send(request)
            .await
            .map_err(Error::Virtual)?;
        let (parts, body) = response.into_parts();
        let mut response = Response::new(body::passed(body));
        *response.status_mut() = parts.status;
        *response.headers_mut() = headers::of_body(&parts.headers);
        Ok((response, None))
    }

    async fn summary(&self, node: &str) -> Result<(Response<Body>, Option<Stream>), Error> {
        let summary = summary::read(&self.host, &self.directory, node).await;
        let summary = summary.map_err(|error| match error {
            summary::Error::Host(error) => Error::Host(error),
            error => Error::Summary(error),
        })?;
        let mut response = Response::new(body::text(summary.to_string()));
        let json = HeaderValue::from_static("application/json");
        response.headers_mut().insert(header::CONTENT_TYPE, json);
        Ok((response, None))
    }

    async fn metrics(
        &self,
        node: &str,
        path: &str,
    ) -> Result<(Response<Body>, Option<Stream>), Error> {
        let (parts, metrics) = self.host.of_node(node, path).await?.into_parts();
        let directory = self.directory.clone();
        let tenants = body::lines(metrics, move |line| {
            directory
                .read(|directory| metrics_text::tenants_line(line, directory).map(Cow::into_owned))
        });
        let mut response = Response::new(tenants);
        *response.headers_mut() = headers::of_body(&parts.headers);
        Ok((response, None))
    }

    async fn pod(
        &self,
        node: &str,
        wanted: PodRequest,
        mut request: Request<Incoming>,
    ) -> Result<(Response<Body>, Option<Stream>), Error> {
        let pod: PodRecord = self
            .directory
            .ask(self.limits.news, |directory| {
                let found = directory.pod(node, &wanted.pod, wanted.uid.as_deref());
                found.cloned()
            })
            .await?;
        let target = host_path(self.host.namespace(), &pod.host_name, &wanted.action);
        debug!(pod = %wanted.pod, %node, "passing on");

        if let Action::Logs { .. } = wanted.action {
            let (parts, body) = self
                .host
                .of_pod(Method::GET, &target, HeaderMap::new(), &pod)
                .await?
                .into_parts();
            let mut response = Response::new(body::passed(body));
            *response.headers_mut() = headers::of_body(&parts.headers);
            return Ok((response, None));
        }

        let sent = headers::to_host(request.headers());
        let virtual_end = hyper::upgrade::on(&mut request);
        let mut opened = self
            .host
            .of_pod(request.method().clone(), &target, sent, &pod)
            .await?;
        let mut response = Response::new(body::empty());
        *response.status_mut() = opened.status();
        if opened.status() != StatusCode::SWITCHING_PROTOCOLS {
            // A success without a stream: nothing that a kubelet says, and nothing to wait for.
            let message = "the host did not open a stream";
            return Ok((text(StatusCode::BAD_GATEWAY, message), None));
        }
        *response.headers_mut() = headers::of_upgrade(opened.headers());
        let host_end = hyper::upgrade::on(&mut opened);
        let stream = Stream {
            virtual_end,
            host_end,
        };
        Ok((response, Some(stream)))
    }
}

/// The answer to a request that failed, in a kubelet's form.
fn refuse(node: &str, error: &Error) -> Response<Body> {
    let (status, message) = match error {
        Error::Refusal(refusal) => (refusal.status(), refusal.to_string()),
        Error::Host(host_api::Error::Answer { status, message }) => (*status, message.clone()),
        Error::Host(host_api::Error::Slow { .. }) => {
            (StatusCode::GATEWAY_TIMEOUT, error.to_string())
        }
        // The reason is about the host, so it is for the log and not for the tenant.
        Error::Host(host_api::Error::Rights { .. }) => (
            StatusCode::BAD_GATEWAY,
            "the host refused the relay".to_owned(),
        ),
        Error::Host(_) | Error::Virtual(_) | Error::Summary(_) => {
            (StatusCode::BAD_GATEWAY, error.to_string())
        }
    };
    if status.is_server_error() {
        let error: &dyn std::error::Error = error;
        warn!(%node, error, "could not answer for a node");
    } else {
        debug!(%node, %status, reason = message, "refused");
    }
    text(status, &message)
}

pub(super) fn text(status: StatusCode, message: &str) -> Response<Body> {
    let mut response = Response::new(body::text(message.to_owned()));
    *response.status_mut() = status;
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    response
}
