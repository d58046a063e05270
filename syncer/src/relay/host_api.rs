//! The host's API, as the relay uses it: with the relay's own identity, and for streams that may
//! be silent for hours.

use std::time::Duration;

use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Limited};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Status;
use kube::client::Body;

use super::records::PodRecord;

/// Longer error messages are of no use to anybody.
const MESSAGE_LIMIT: usize = 64 * 1024;

/// A client of the host's API.
#[derive(Clone)]
pub(super) struct HostApi {
    client: kube::Client,
    namespace: String,
    limit: Duration,
}

/// The host did not do as asked.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("could not make a request for the host")]
    Request(#[from] http::Error),
    #[error("could not reach the host")]
    Send(#[from] kube::Error),
    #[error("the host did not answer within {} s", limit.as_secs())]
    Slow { limit: Duration },
    /// It has no right, or its identity is not known: nothing that a tenant could change.
    #[error("the host refused the relay: {message}")]
    Rights { message: String },
    /// It said no, and why, in words for the tenant.
    #[error("{message}")]
    Answer { status: StatusCode, message: String },
}

impl HostApi {
    pub(super) fn new(
        mut config: kube::Config,
        namespace: &str,
        limit: Duration,
    ) -> Result<Self, kube::Error> {
        // A stream may be silent for hours in either direction; the relay has its own limits.
        config.read_timeout = None;
        config.write_timeout = None;
        config.connect_timeout = Some(limit);
        // The API server's clients try again by themselves.
        config.default_retry = false;
        Ok(Self {
            client: kube::Client::try_from(config)?,
            namespace: namespace.to_owned(),
            limit,
        })
    }

    pub(super) fn namespace(&self) -> &str {
        &self.namespace
    }

    /// Asks the host for `target`, which is about `pod`. What comes back is a success, or the
    /// opening of a stream.
    pub(super) async fn of_pod(
        &self,
        method: Method,
        target: &str,
        headers: HeaderMap,
        pod: &PodRecord,
    ) -> Result<Response<Body>, Error> {
        let words = |words: &str| {
            let words = words.replace(&pod.host_name, &pod.key.name);
            let namespace = pod.key.namespace.as_deref().unwrap_or_default();
            words.replace(&self.namespace, namespace)
        };
        self.request(method, target, headers, words).await
    }

    /// Asks the host for what the kubelet of `node` serves at `path`. The host gives that to few.
    pub(super) async fn of_node(&self, node: &str, path: &str) -> Result<Response<Body>, Error> {
        let target = format!("/api/v1/nodes/{node}/proxy/{path}");
        // What goes wrong there is the host's business.
        let words = |_: &str| "the host does not give it".to_owned();
        self.request(Method::GET, &target, HeaderMap::new(), words)
            .await
    }

    async fn request(
        &self,
        method: Method,
        target: &str,
        headers: HeaderMap,
        words: impl FnOnce(&str) -> String,
    ) -> Result<Response<Body>, Error> {
        let mut request = Request::builder()
            .method(method)
            .uri(target)
            .body(Body::empty())?;
        *request.headers_mut() = headers;
        let answer = tokio::time::timeout(self.limit, self.client.send(request));
        let response = answer
            .await
            .map_err(|_| Error::Slow { limit: self.limit })??;
        let status = response.status();
        if status.is_success() || status == StatusCode::SWITCHING_PROTOCOLS {
            return Ok(response);
        }
        let body = Limited::new(response.into_body(), MESSAGE_LIMIT).collect();
        let bytes = match tokio::time::timeout(self.limit, body).await {
            Ok(Ok(body)) => body.to_bytes(),
            Ok(Err(_)) | Err(_) => Vec::new().into(),
        };
        let message = words(&message(&bytes));
        Err(match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Error::Rights { message },
            status => Error::Answer { status, message },
        })
    }
}

/// The words of an error. The tenant's own API server makes a `Status` of them, as it does with a
/// kubelet's.
fn message(body: &[u8]) -> String {
    match serde_json::from_slice::<Status>(body) {
        Ok(Status {
            message: Some(message),
            ..
        }) => message,
        Ok(_) | Err(_) => String::from_utf8_lossy(body).into_owned(),
    }
}
