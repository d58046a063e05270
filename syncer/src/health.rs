//! `/healthz`, `/readyz` and `/metrics`, over plain HTTP.

use std::{convert::Infallible, io, net::SocketAddr, sync::Arc};

use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::{
    body::{Bytes, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpListener, task::JoinSet};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use crate::{clusters::Clusters, process};

/// Why nothing is served.
#[derive(Debug, thiserror::Error)]
#[error("could not listen on {address} for health checks")]
pub struct Error {
    /// Where.
    pub address: SocketAddr,
    /// Why not.
    pub source: io::Error,
}

/// Answers health checks until it is dropped or told to stop.
#[derive(Debug)]
pub struct Health {
    listener: TcpListener,
    clusters: Arc<Clusters>,
}

impl Health {
    /// Listens on the configured address.
    pub async fn bind(clusters: Arc<Clusters>) -> Result<Self, Error> {
        let address = clusters.config.health_address;
        let listener = TcpListener::bind(address)
            .await
            .map_err(|source| Error { address, source })?;
        Ok(Self { listener, clusters })
    }

    /// Where it listens.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        let mut connections = JoinSet::new();
        loop {
            // Either branch may be dropped: a connection that was not accepted yet stays in the
            // backlog.
            let stream = tokio::select! {
                () = stop.cancelled() => return,
                Some(_) = connections.join_next(), if !connections.is_empty() => continue,
                accepted = self.listener.accept() => match accepted {
                    Ok((stream, _)) => stream,
                    Err(error) => {
                        debug!(%error, "could not accept a health check");
                        continue;
                    }
                },
            };
            let clusters = Arc::clone(&self.clusters);
            connections.spawn(async move {
                let answer = service_fn(move |request: Request<Incoming>| {
                    let response = answer(&clusters, request.uri().path());
                    async move { Ok::<_, Infallible>(response) }
                });
                let connection =
                    http1::Builder::new().serve_connection(TokioIo::new(stream), answer);
                if let Err(error) = connection.await {
                    debug!(%error, "health check ended");
                }
            });
        }
    }
}

fn answer(clusters: &Clusters, path: &str) -> Response<Full<Bytes>> {
    let (status, text) = match path {
        "/healthz" | "/livez" => (StatusCode::OK, "ok".to_owned()),
        "/readyz" => match clusters.caches.not_ready() {
            missing if missing.is_empty() => (StatusCode::OK, "ok".to_owned()),
            missing => (
                StatusCode::SERVICE_UNAVAILABLE,
                format!("not seen yet: {}", missing.join(", ")),
            ),
        },
        "/metrics" => (StatusCode::OK, metrics(clusters)),
        _ => (StatusCode::NOT_FOUND, "not found".to_owned()),
    };
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    response
}

fn metrics(clusters: &Clusters) -> String {
    let name = "vcluster_syncer_leading";
    let help = "Whether this syncer is the one that works.";
    let leading = u8::from(clusters.mandate.holds());
    let rest = clusters.metrics.render();
    let process = process::render();
    format!("{rest}# HELP {name} {help}\n# TYPE {name} gauge\n{name} {leading}\n{process}")
}
