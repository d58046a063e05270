//! A port of this machine that leads to an API server for as long as one test has the cluster. With the
//! port end all connections, also those of other processes, so that no watch sees what the next test does.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    time::Duration,
};

use tokio::{net::TcpStream, runtime::Builder, sync::watch};
use tokio_util::sync::{CancellationToken, DropGuard};
use tracing::warn;

use super::forward::serve;

/// How long the end of the connections may take; nothing is waited for but a thread.
const END: Duration = Duration::from_secs(2);

/// Listens until it is closed or dropped. It has a thread of its own: a test may block its own threads
/// while it waits for a program that uses the port.
#[derive(Debug)]
pub(super) struct Front {
    address: SocketAddr,
    stop: CancellationToken,
    _stop: DropGuard,
    /// Closed when there is no connection any more.
    ended: watch::Receiver<()>,
}

impl Front {
    /// Chooses a free port of the loopback address and passes what connects on to `target`.
    pub(super) fn open(target: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let stop = CancellationToken::new();
        let (end, ended) = watch::channel(());
        let stopped = stop.clone();
        let listen = move || {
            let serving = stopped.run_until_cancelled_owned(async {
                match tokio::net::TcpListener::from_std(listener) {
                    Ok(listener) => serve(listener, move |stream| pass_on(stream, target)).await,
                    Err(error) => warn!(%error, "the way to a cluster is closed"),
                }
            });
            runtime.block_on(serving);
            drop(runtime);
            drop(end);
        };
        std::thread::Builder::new()
            .name("vcluster-front".to_owned())
            .spawn(listen)?;
        Ok(Self {
            address,
            _stop: stop.clone().drop_guard(),
            stop,
            ended,
        })
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Ends all connections, and returns when they are.
    pub(super) async fn close(&self) {
        self.stop.cancel();
        let mut ended = self.ended.clone();
        let all = async { while ended.changed().await.is_ok() {} };
        if tokio::time::timeout(END, all).await.is_err() {
            warn!(address = %self.address, "connections to a cluster do not end");
        }
    }
}

async fn pass_on(mut stream: TcpStream, target: SocketAddr) -> io::Result<()> {
    let mut upstream = TcpStream::connect(target).await?;
    stream.set_nodelay(true)?;
    upstream.set_nodelay(true)?;
    tokio::io::copy_bidirectional(&mut stream, &mut upstream)
        .await
        .map(drop)
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::TcpListener,
    };

    use super::*;

    #[tokio::test]
    async fn what_was_passed_on_ends_when_it_is_closed() {
        let server = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let front = Front::open(server.local_addr().unwrap()).unwrap();
        let mut client = TcpStream::connect(front.address()).await.unwrap();
        let (mut accepted, _) = server.accept().await.unwrap();
        client.write_all(b"ping").await.unwrap();
        let mut heard = [0; 4];
        accepted.read_exact(&mut heard).await.unwrap();
        assert_eq!(&heard, b"ping");

        front.close().await;

        let end = client.read(&mut heard).await;
        assert!(matches!(end, Ok(0) | Err(_)), "{end:?}");
        let end = accepted.read(&mut heard).await;
        assert!(matches!(end, Ok(0) | Err(_)), "{end:?}");
        TcpStream::connect(front.address()).await.unwrap_err();
    }
}
