//! One HTTP/1.1 connection, up to and including the request that turns it into something else.

use std::{
    convert::Infallible,
    future::Future,
    pin::pin,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use http::{Request, Response};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::sync::CancellationToken;

use super::body::Body;

/// The bounds of a connection.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// Bytes of a request's head.
    pub(super) head: usize,
    /// How long a request's head may be awaited.
    pub(super) next_request: Duration,
}

/// Serves `io` until it closes or until an answer comes with something to go on with, which is
/// returned once the connection has been handed over. At `cancel`, the answer under way is the last.
pub(super) async fn serve<I, H, F, U>(
    io: I,
    bounds: Bounds,
    cancel: &CancellationToken,
    answer: H,
) -> hyper::Result<Option<U>>
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    H: Fn(Request<Incoming>) -> F,
    F: Future<Output = (Response<Body>, Option<U>)>,
{
    let next = Mutex::new(None);
    let service = service_fn(|request| {
        let answer = answer(request);
        async {
            let (response, then) = answer.await;
            *next.lock().unwrap_or_else(PoisonError::into_inner) = then;
            Ok::<_, Infallible>(response)
        }
    });
    {
        let mut connection = pin!(
            http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(bounds.next_request)
                .max_buf_size(bounds.head)
                .serve_connection(TokioIo::new(io), service)
                .with_upgrades()
        );
        // Neither branch consumes the connection; the loser is polled again below.
        tokio::select! {
            result = connection.as_mut() => ended(result)?,
            () = cancel.cancelled() => {
                connection.as_mut().graceful_shutdown();
                ended(connection.await)?;
            }
        }
    }
    Ok(next.into_inner().unwrap_or_else(PoisonError::into_inner))
}

/// The other side may be gone before our last word, which is then of no use to it.
fn ended(result: hyper::Result<()>) -> hyper::Result<()> {
    match result {
        Err(error) if error.is_shutdown() => Ok(()),
        result => result,
    }
}
