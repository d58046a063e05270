//! An engine for tests that says what it is told to say, on a socket of its own.

use std::{convert::Infallible, path::Path, sync::Arc};

use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::{body::Bytes, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::net::UnixListener;

/// What an engine answers.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Answer {
    /// A status and a body.
    Says(u16, &'static str),
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
    F: Future<Output = Response<Full<Bytes>>> + Send + 'static,
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

/// An answer with a text.
pub(crate) fn say(status: StatusCode, text: &str) -> Response<Full<Bytes>> {
    let body = Full::new(Bytes::from(text.to_owned()));
    Response::builder().status(status).body(body).unwrap()
}
