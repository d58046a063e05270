//! An engine for tests that says what it is told to say, on a socket of its own.

use std::{convert::Infallible, path::Path, sync::Arc};

use futures::{StreamExt as _, future, stream};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, StreamBody, combinators::BoxBody};
use hyper::{
    body::{Bytes, Frame, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use tokio::net::UnixListener;

/// What an engine answers.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Answer {
    /// A status and a body.
    Says(u16, &'static str),
    /// It says this and does not end.
    Begins(&'static str),
    /// It accepts the request, and that is all.
    Never,
}

/// Starts an engine that answers by the path of the request; gives its address. It goes with the runtime
/// of its test.
pub(crate) fn start(
    directory: &Path,
    answer: impl Fn(&str) -> Answer + Send + Sync + 'static,
) -> String {
    let answer = Arc::new(answer);
    serve(directory, move |request| {
        let answer = answer(request.uri().path());
        async move {
            match answer {
                Answer::Says(status, text) => say(StatusCode::from_u16(status).unwrap(), text),
                Answer::Begins(text) => begin(text),
                Answer::Never => std::future::pending().await,
            }
        }
    })
}

/// Serves requests on a socket in that directory; gives its address.
pub(crate) fn serve<F>(
    directory: &Path,
    answer: impl Fn(Request<Incoming>) -> F + Clone + Send + Sync + 'static,
) -> String
where
    F: Future<Output = Said> + Send + 'static,
{
    let socket = directory.join("engine.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let answer = answer.clone();
            let service = service_fn(move |request| {
                let answered = answer(request);
                async move { Ok::<_, Infallible>(answered.await) }
            });
            tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        }
    });
    format!("unix://{}", socket.display())
}

/// What such an engine says.
pub(crate) type Said = Response<BoxBody<Bytes, Infallible>>;

/// An answer with a text.
pub(crate) fn say(status: StatusCode, text: &str) -> Said {
    let body = Full::new(Bytes::from(text.to_owned())).boxed();
    Response::builder().status(status).body(body).unwrap()
}

fn begin(text: &'static str) -> Said {
    let first = stream::once(future::ready(Ok(Frame::data(Bytes::from(text)))));
    let body = StreamBody::new(first.chain(stream::pending()));
    Response::new(BodyExt::boxed(body))
}
