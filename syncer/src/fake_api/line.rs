//! What lies between a client and its server, and may break.

use std::{
    io,
    sync::{Arc, Mutex},
    time::Duration,
};

use futures::{StreamExt, stream};
use http::{Method, Request, Response, StatusCode, header::RETRY_AFTER};
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Bytes;
use kube::{Client, client::Body};
use tokio::{
    sync::watch,
    task::yield_now,
    time::{Instant, sleep},
};
use tower::{BoxError, ServiceBuilder, retry::RetryLayer};

use super::{FakeApi, Sent};
use crate::{client::Questions, silence::Patience, write::Side};

/// One or more clients' way to a server. Clones are the same line.
#[derive(Clone)]
pub(crate) struct Line {
    /// Who is at its end, for the record of writes.
    pub(super) author: &'static str,
    condition: Arc<watch::Sender<Condition>>,
    /// How long the server takes for a write.
    slowness: Arc<Mutex<Duration>>,
    /// What the server was too busy for, and when.
    turned_away: Arc<Mutex<Vec<(String, Instant)>>>,
}

/// How a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Condition {
    /// It works.
    Good,
    /// Connections are refused, and those that were open are closed.
    Refused,
    /// Nothing arrives. When that ends, what was under way is lost.
    Silent,
    /// Requests arrive and are never answered, also when that ends. What was answered goes on.
    Deaf,
    /// The server answers that it is too busy, and for how many seconds.
    Busy(u64),
}

impl Line {
    /// A line that works.
    pub(crate) fn new(author: &'static str) -> Self {
        Self {
            author,
            condition: Arc::new(watch::Sender::new(Condition::Good)),
            slowness: Arc::default(),
            turned_away: Arc::default(),
        }
    }

    /// Breaks or mends it.
    pub(crate) fn set(&self, condition: Condition) {
        self.condition.send_replace(condition);
    }

    /// Lets the server take this long for each write.
    pub(crate) fn slow_down(&self, slowness: Duration) {
        *self.slowness.lock().unwrap() = slowness;
    }

    /// Every request that the server was too busy for, and when.
    pub(crate) fn turned_away(&self) -> Vec<(String, Instant)> {
        self.turned_away.lock().unwrap().clone()
    }

    /// A client at the end of it, which tries again as a real one does.
    pub(super) fn client(&self, api: &FakeApi) -> Client {
        let (line, api) = (self.clone(), api.clone());
        let service = tower::service_fn(move |request: Request<Body>| {
            let (line, api) = (line.clone(), api.clone());
            async move { line.carry(&api, request).await }
        });
        let service = ServiceBuilder::new()
            .layer(RetryLayer::new(Questions::new()))
            .layer(Patience::new(Side::Host, &Arc::default()))
            .service(service);
        Client::new(service, "default")
    }

    async fn carry(
        &self,
        api: &FakeApi,
        request: Request<Body>,
    ) -> Result<Response<Sent>, BoxError> {
        let mut condition = self.condition.subscribe();
        let now = *condition.borrow_and_update();
        match now {
            Condition::Good => {}
            Condition::Refused => return Err(broken(io::ErrorKind::ConnectionRefused)),
            Condition::Silent => {
                condition.wait_for(|it| *it != Condition::Silent).await?;
                return Err(broken(io::ErrorKind::ConnectionReset));
            }
            Condition::Deaf => std::future::pending().await,
            Condition::Busy(seconds) => {
                let what = format!("{} {}", request.method(), request.uri());
                let mut turned_away = self.turned_away.lock().unwrap();
                turned_away.push((what, Instant::now()));
                return Ok(too_busy(seconds));
            }
        }
        // Whoever asks may be gone before the question arrives, and before the answer does.
        yield_now().await;
        let is_write = request.method() != Method::GET;
        let answer = api.answer(request, self.author).await;
        let slowness = *self.slowness.lock().unwrap();
        if is_write && !slowness.is_zero() {
            sleep(slowness).await;
        }
        yield_now().await;
        Ok(answer.map(|body| {
            let frames = BodyExt::into_data_stream(body);
            let frames = stream::unfold(Some((frames, condition)), |state| async move {
                let (mut frames, mut condition) = state?;
                let breaks = async {
                    let is_broken =
                        |it: &Condition| matches!(it, Condition::Refused | Condition::Silent);
                    let _broken = condition.wait_for(is_broken).await;
                };
                // Either may be dropped: a frame stays in the stream until it is taken.
                let frame = tokio::select! {
                    biased;
                    () = breaks => None,
                    frame = frames.next() => Some(frame?),
                };
                if let Some(frame) = frame {
                    return Some((frame, Some((frames, condition))));
                }
                let _mended = condition.wait_for(|it| *it != Condition::Silent).await;
                Some((Err(broken(io::ErrorKind::ConnectionReset)), None))
            });
            StreamBody::new(frames.map(|data| data.map(hyper::body::Frame::data))).boxed_unsync()
        }))
    }
}

fn broken(how: io::ErrorKind) -> BoxError {
    io::Error::from(how).into()
}

/// In plain text, as the filter says it that stands before everything else.
fn too_busy(seconds: u64) -> Response<Sent> {
    let body = Full::new(Bytes::from("Too many requests, please try again later."));
    let mut response = Response::new(body.map_err(Into::into).boxed_unsync());
    *response.status_mut() = StatusCode::TOO_MANY_REQUESTS;
    response.headers_mut().insert(RETRY_AFTER, seconds.into());
    response
}
