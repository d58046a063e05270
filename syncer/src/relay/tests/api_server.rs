//! The API server's side of the conversation, byte for byte where it matters.

use std::{path::Path, sync::Arc};

use http::{Request, Response};
use hyper::{body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use kube::client::Body;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::UnixStream,
    task::JoinSet,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

/// Asks for a tunnel as `k8s.io/apiserver` does; the status line comes back on refusal.
pub(super) async fn connect(socket: &Path, target: &str) -> Result<UnixStream, String> {
    let mut stream = UnixStream::connect(socket).await.unwrap();
    let request = format!("CONNECT {target} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return Err("closed".to_owned()),
        }
    }
    let head = String::from_utf8(head).unwrap();
    let status = head.lines().next().unwrap().to_owned();
    if status.starts_with("HTTP/1.1 200 ") {
        Ok(stream)
    } else {
        Err(status)
    }
}

/// Speaks TLS to the node `name` through a tunnel.
pub(super) async fn handshake<I: AsyncRead + AsyncWrite + Unpin>(
    tunnel: I,
    name: &str,
    config: ClientConfig,
) -> std::io::Result<TlsStream<I>> {
    let name = ServerName::try_from(name.to_owned()).unwrap();
    TlsConnector::from(Arc::new(config))
        .connect(name, tunnel)
        .await
}

/// A connection to a kubelet.
pub(super) struct Kubelet {
    sender: http1::SendRequest<Body>,
    _connection: JoinSet<()>,
}

impl Kubelet {
    pub(super) async fn open(stream: TlsStream<UnixStream>) -> Self {
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        let mut tasks = JoinSet::new();
        // Refused and aborted connections end with an error, which the request reports.
        tasks.spawn(async { drop(connection.with_upgrades().await) });
        Self {
            sender,
            _connection: tasks,
        }
    }

    pub(super) async fn send(
        &mut self,
        request: Request<Body>,
    ) -> hyper::Result<Response<Incoming>> {
        self.sender.ready().await?;
        self.sender.send_request(request).await
    }
}
