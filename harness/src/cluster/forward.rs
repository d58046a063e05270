//! A port of this machine whose connections go to a pod, each through a port-forward of its own.

use std::{io, net::SocketAddr};

use k8s_openapi::api::core::v1::Pod;
use kube::{Api, Client};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use tokio_util::sync::{CancellationToken, DropGuard};
use tracing::debug;

/// Listens until it is dropped.
#[derive(Debug)]
pub(super) struct Forward {
    address: SocketAddr,
    _stop: DropGuard,
}

/// A connection that could not be passed on.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("could not open a port-forward")]
    Open(#[source] kube::Error),
    #[error("the port-forward has no stream for the port")]
    NoStream,
    #[error("the connection broke")]
    Copy(#[source] io::Error),
}

impl Forward {
    /// Chooses a free port of the loopback address and passes what connects on to `port` of `pod`.
    pub(super) async fn listen(
        host: Client,
        namespace: &str,
        pod: &str,
        port: u16,
    ) -> io::Result<Self> {
        let listener = TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let pods: Api<Pod> = Api::namespaced(host, namespace);
        let pod = pod.to_owned();
        let stop = CancellationToken::new();
        let task = serve(listener, move |stream| {
            let (pods, pod) = (pods.clone(), pod.clone());
            async move { pass_on(stream, &pods, &pod, port).await }
        });
        tokio::spawn(stop.clone().run_until_cancelled_owned(task));
        Ok(Self {
            address,
            _stop: stop.drop_guard(),
        })
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }
}

/// Its connections end with it: they are in the set that it owns.
pub(super) async fn serve<F, E>(listener: TcpListener, pass_on: impl Fn(TcpStream) -> F)
where
    F: Future<Output = Result<(), E>> + Send + 'static,
    E: std::error::Error + 'static,
{
    let mut connections = JoinSet::new();
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let passing = pass_on(stream);
                connections.spawn(async move {
                    if let Err(error) = passing.await {
                        let error = &error as &dyn std::error::Error;
                        debug!(error, "a connection ended");
                    }
                });
            }
            // Too many open files, or a connection that was gone at once: the next may be better.
            Err(error) => {
                debug!(%error, "could not accept");
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            }
        }
        while connections.try_join_next().is_some() {}
    }
}

async fn pass_on(
    mut stream: TcpStream,
    pods: &Api<Pod>,
    pod: &str,
    port: u16,
) -> Result<(), Error> {
    let mut forward = pods.portforward(pod, &[port]).await.map_err(Error::Open)?;
    let mut upstream = forward.take_stream(port).ok_or(Error::NoStream)?;
    tokio::io::copy_bidirectional(&mut stream, &mut upstream)
        .await
        .map(drop)
        .map_err(Error::Copy)
}
