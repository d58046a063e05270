//! A host whose API does as a test says.

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, Empty, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::{
    body::{Bytes, Frame, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpListener, task::JoinSet};

/// What the host answers with.
pub(super) type HostBody = UnsyncBoxBody<Bytes, Infallible>;

/// Nothing.
pub(super) fn empty() -> HostBody {
    Empty::new().boxed_unsync()
}

/// An answer of `text`.
pub(super) fn full(status: u16, text: impl Into<Bytes>) -> Response<HostBody> {
    let mut response = Response::new(Full::new(text.into()).boxed_unsync());
    *response.status_mut() = status.try_into().unwrap();
    response
}

/// An answer that comes in pieces of `size` bytes.
pub(super) fn of_chunks(text: &'static str, size: usize) -> Response<HostBody> {
    let chunks = text.as_bytes().chunks(size);
    let frames = chunks.map(|chunk| Ok(Frame::data(Bytes::from_static(chunk))));
    Response::new(StreamBody::new(futures::stream::iter(frames)).boxed_unsync())
}

/// A request as the host saw it.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    pub(super) method: String,
    pub(super) target: String,
    pub(super) headers: HeaderMap,
}

/// A running fake; it ends when it is dropped.
pub(super) struct FakeHost {
    pub(super) address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    tasks: Mutex<JoinSet<()>>,
}

impl FakeHost {
    /// A host that answers with `answer`.
    pub(super) async fn start<A>(answer: A) -> Self
    where
        A: Fn(Request<Incoming>) -> Response<HostBody> + Send + Sync + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen: Arc<Mutex<Vec<Seen>>> = Arc::default();
        let answer = Arc::new(answer);
        let mut tasks = JoinSet::new();
        let log = Arc::clone(&seen);
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (answer, log) = (Arc::clone(&answer), Arc::clone(&log));
                connections.spawn(async move {
                    let service = service_fn(move |request: Request<Incoming>| {
                        log.lock().unwrap().push(Seen {
                            method: request.method().to_string(),
                            target: request.uri().to_string(),
                            headers: request.headers().clone(),
                        });
                        let response = answer(request);
                        async { Ok::<_, Infallible>(response) }
                    });
                    // The other side may go away at any time.
                    drop(
                        http1::Builder::new()
                            .serve_connection(TokioIo::new(stream), service)
                            .with_upgrades()
                            .await,
                    );
                });
            }
        });
        Self {
            address,
            seen,
            tasks: Mutex::new(tasks),
        }
    }

    /// Goes away with all its connections.
    pub(super) fn stop(&self) {
        self.tasks.lock().unwrap().abort_all();
    }

    /// What it was asked for so far.
    pub(super) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }
}
