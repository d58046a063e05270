//! Ends requests that a server never answers, so that they can be made again. A server that died with
//! its machine closes no connection.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use futures::future::{BoxFuture, FutureExt};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, combinators::UnsyncBoxBody};
use hyper::body::{Bytes, Frame, SizeHint};
use kube::client::Body;
use tokio::time::{Instant, Sleep, sleep, timeout};
use tower::{BoxError, Layer, Service};
use tracing::warn;

use crate::{metrics::Metrics, write::Side};

/// How long an answer, and each further part of one, may take. API servers give an admission webhook
/// less.
pub(crate) const PATIENCE: Duration = Duration::from_secs(35);

/// What of a pod is read for as long as the other side likes.
const STREAMS: &[&str] = &["attach", "exec", "log", "portforward"];

/// A server did not answer.
#[derive(Debug, thiserror::Error)]
#[error("no answer within {} s", PATIENCE.as_secs())]
pub(crate) struct Silence;

/// An answer's body.
type Answered = UnsyncBoxBody<Bytes, BoxError>;

/// Counts the silences of a server and tells of them.
#[derive(Debug, Clone)]
pub(crate) struct Patience {
    side: Side,
    metrics: Arc<Metrics>,
}

impl Patience {
    /// Patience with the API server of `side`.
    pub(crate) fn new(side: Side, metrics: &Arc<Metrics>) -> Self {
        Self {
            side,
            metrics: Arc::clone(metrics),
        }
    }

    fn is_over(&self, what: &str) -> BoxError {
        self.metrics.silence(self.side);
        warn!(side = %self.side, request = what, error = %Silence, "no answer, giving up");
        Silence.into()
    }
}

impl<S> Layer<S> for Patience {
    type Service = Patient<S>;

    fn layer(&self, inner: S) -> Patient<S> {
        Patient {
            inner,
            patience: self.clone(),
        }
    }
}

/// Makes requests and waits for their answers, but not for ever.
#[derive(Debug, Clone)]
pub(crate) struct Patient<S> {
    inner: S,
    patience: Patience,
}

impl<S, B> Service<Request<Body>> for Patient<S>
where
    S: Service<Request<Body>, Response = Response<B>>,
    S::Error: Into<BoxError>,
    S::Future: Send + 'static,
    B: hyper::body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<Answered>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Self::Response, BoxError>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let what = format!("{} {}", request.method(), request.uri().path());
        let is_stream = is_stream(&request);
        let patience = self.patience.clone();
        let answer = self.inner.call(request);
        async move {
            let answer = match timeout(PATIENCE, answer).await {
                Ok(answer) => answer.map_err(Into::into)?,
                Err(_) => return Err(patience.is_over(&what)),
            };
            let is_stream = is_stream || answer.status() == StatusCode::SWITCHING_PROTOCOLS;
            Ok(answer.map(|body| {
                let body = body.map_err(Into::into).boxed_unsync();
                if is_stream {
                    return body;
                }
                Awaited {
                    body,
                    end: Box::pin(sleep(PATIENCE)),
                    patience,
                    what,
                }
                .boxed_unsync()
            }))
        }
        .boxed()
    }
}

/// Is the answer one that may pause for as long as nothing happens? Those of watches do; their watcher
/// knows when they have been silent for too long.
fn is_stream(request: &Request<Body>) -> bool {
    let query = request.uri().query().unwrap_or_default();
    let watches = form_urlencoded::parse(query.as_bytes())
        .any(|(key, value)| key == "watch" && matches!(&*value, "" | "1" | "true"));
    let mut segments = request.uri().path().rsplit('/');
    let is_of_pod =
        segments.next().is_some_and(|it| STREAMS.contains(&it)) && segments.nth(1) == Some("pods");
    watches || is_of_pod
}

/// A body whose parts must come in time.
struct Awaited {
    body: Answered,
    end: Pin<Box<Sleep>>,
    patience: Patience,
    what: String,
}

impl hyper::body::Body for Awaited {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) {
            self.end.as_mut().reset(Instant::now() + PATIENCE);
            return Poll::Ready(frame);
        }
        let is_over = self.end.as_mut().poll(cx);
        is_over.map(|()| Some(Err(self.patience.is_over(&self.what))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures::{StreamExt, stream};
    use http_body_util::{Full, StreamBody};
    use rstest::rstest;
    use tower::ServiceExt;

    use super::*;

    const SILENCES: &str = "vcluster_syncer_silences_total{side=\"host\"}";

    fn request(uri: &str) -> Request<Body> {
        Request::get(uri).body(Body::empty()).unwrap()
    }

    /// How the server answers: not at all, or with a part of what it should.
    async fn ask(uri: &str, begins: bool) -> (Result<Bytes, BoxError>, String) {
        let metrics = Arc::new(Metrics::default());
        let server = tower::service_fn(move |_: Request<Body>| async move {
            if !begins {
                std::future::pending::<()>().await;
            }
            let frame = Ok::<_, Infallible>(Frame::data(Bytes::from("[")));
            let frames = stream::iter([frame]).chain(stream::pending());
            Ok::<_, Infallible>(Response::new(StreamBody::new(frames)))
        });
        let server = Patience::new(Side::Host, &metrics).layer(server);
        let answer = async {
            let answer = server.oneshot(request(uri)).await?;
            Ok(answer.into_body().collect().await?.to_bytes())
        };
        let answer = timeout(Duration::from_hours(1), answer).await;
        (answer.unwrap_or(Ok(Bytes::new())), metrics.render())
    }

    #[rstest]
    #[case::a_question("/api/v1/pods", false)]
    #[case::in_the_middle_of_an_answer("/api/v1/pods", true)]
    #[case::a_watch_that_does_not_begin("/api/v1/pods?watch=true", false)]
    #[tokio::test(start_paused = true)]
    async fn silence_has_an_end(#[case] uri: &str, #[case] begins: bool) {
        let (answer, metrics) = ask(uri, begins).await;
        assert!(answer.unwrap_err().is::<Silence>());
        assert!(metrics.contains(&format!("{SILENCES} 1")), "{metrics}");
    }

    #[rstest]
    #[case::a_watch("/api/v1/pods?allowWatchBookmarks=true&watch=true")]
    #[case::a_log("/api/v1/namespaces/a/pods/b/log?follow=true")]
    #[case::a_command("/api/v1/namespaces/a/pods/b/exec?command=sh")]
    #[tokio::test(start_paused = true)]
    async fn what_has_begun_may_pause(#[case] uri: &str) {
        let (answer, metrics) = ask(uri, true).await;
        assert!(answer.unwrap().is_empty());
        assert!(!metrics.contains(&format!("{SILENCES} 1")), "{metrics}");
    }

    #[tokio::test]
    async fn what_is_answered_is_not_touched() {
        let server = tower::service_fn(|_: Request<Body>| async {
            Ok::<_, Infallible>(Response::new(Full::new(Bytes::from("[]"))))
        });
        let metrics = Arc::default();
        let server = Patience::new(Side::Virtual, &metrics).layer(server);
        let answer = server.oneshot(request("/api/v1/pods")).await.unwrap();
        assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "[]");
    }
}
