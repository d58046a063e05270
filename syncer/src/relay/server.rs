//! The relay itself: it takes the API server's connections and leads each where it may go.

use std::{fmt, io, path::PathBuf, pin::pin, sync::Arc};

use http::{HeaderValue, Method, Request, Response, StatusCode};
use hyper::{body::Incoming, ext::ReasonPhrase, upgrade::OnUpgrade};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    task::{JoinError, JoinSet},
    time::timeout,
};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};

use super::{
    body::{self, Body},
    certificates::{self, Certificates},
    connection::{self, Bounds},
    directory::Route,
    host_api::HostApi,
    kubelet::{Kubelet, text},
    listener::Socket,
    metrics_api::MetricsApi,
    options::{Limits, RelayOptions},
    refusal::Refusal,
    shared::SharedDirectory,
    splice::{Patience, splice},
    target::{Host, Target},
};
use crate::metrics_server;

/// A relay that listens. Connections wait until it [runs](Relay::run).
pub struct Relay {
    socket: Socket,
    tcp: Option<(TcpListener, TlsAcceptor)>,
    server: Arc<Server>,
}

/// The relay does not run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The certificates are not as they should be.
    #[error("could not prepare the relay's certificates")]
    Certificates(#[from] certificates::Error),
    /// The host's API cannot be used.
    #[error("could not make a client of the host's API")]
    Client(#[from] kube::Error),
    /// The socket cannot be used.
    #[error("could not listen on {}", path.display())]
    Socket {
        /// Which.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The address cannot be used.
    #[error("could not listen on {address}")]
    Tcp {
        /// Which.
        address: std::net::SocketAddr,
        /// Why not.
        source: io::Error,
    },
    /// No more connections can be taken.
    #[error("could not accept a connection")]
    Accept(#[source] io::Error),
}

/// A tunnel that ended early; nobody needs to act.
#[derive(Debug, thiserror::Error)]
enum TunnelError {
    #[error("the connection broke off")]
    Http(#[from] hyper::Error),
    #[error("the stream broke off")]
    Stream(#[from] io::Error),
    #[error("no TLS handshake in time")]
    Handshake,
    #[error("the client is not the API server")]
    Stranger,
}

struct Server {
    certificates: Certificates,
    kubelet: Kubelet,
    metrics: Option<Metrics>,
    places: Semaphore,
    limits: Limits,
    cancel: CancellationToken,
}

/// The API that the relay serves to the API server itself.
struct Metrics {
    certificates: Certificates,
    api: MetricsApi,
}

/// What a `CONNECT` request turns into.
struct Tunnel {
    near: OnUpgrade,
    far: Far,
}

enum Far {
    Kubelet { node: String, tls: TlsAcceptor },
    Metrics { tls: TlsAcceptor },
    Stream(TcpStream),
}

impl Relay {
    /// Reads the certificates and listens.
    ///
    /// `host` says how to reach the host's API, `virtual_api` answers what a kubelet says about
    /// its pods in the tenant's own words.
    ///
    /// # Errors
    ///
    /// Unusable certificates or sockets.
    pub async fn bind(
        options: &RelayOptions,
        host_namespace: &str,
        directory: SharedDirectory,
        host: kube::Config,
        virtual_api: kube::Client,
    ) -> Result<Self, Error> {
        let certificates = Certificates::load(options, &options.clients)?;
        let limits = options.limits.clone();
        let tcp = match options.tcp {
            None => None,
            Some(address) => {
                let of_address = |source| Error::Tcp { address, source };
                let listener = TcpListener::bind(address).await.map_err(of_address)?;
                Some((listener, certificates.acceptor(&address.ip().into())?))
            }
        };
        let host = HostApi::new(host, host_namespace, limits.host_answer)?;
        let metrics = options.metrics_api.as_ref().map(|clients| {
            Ok::<_, certificates::Error>(Metrics {
                certificates: Certificates::load(options, clients)?,
                api: MetricsApi {
                    directory: directory.clone(),
                    host: host.clone(),
                    virtual_api: virtual_api.clone(),
                },
            })
        });
        let metrics = metrics.transpose()?;
        let kubelet = Kubelet {
            directory,
            host,
            virtual_api,
            gives_metrics: options.metrics,
            limits: limits.clone(),
        };
        let socket = Socket::bind(&options.socket).map_err(|source| Error::Socket {
            path: options.socket.clone(),
            source,
        })?;
        let server = Arc::new(Server {
            certificates,
            kubelet,
            metrics,
            places: Semaphore::new(limits.connections),
            limits,
            cancel: CancellationToken::new(),
        });
        Ok(Self {
            socket,
            tcp,
            server,
        })
    }

    /// Where the relay listens besides its socket.
    ///
    /// # Errors
    ///
    /// The system does not say.
    pub fn tcp_address(&self) -> io::Result<Option<std::net::SocketAddr>> {
        let tcp = self.tcp.as_ref();
        tcp.map(|(listener, _)| listener.local_addr()).transpose()
    }

    /// Serves until `cancel`, then lets what is under way end for a moment.
    ///
    /// # Errors
    ///
    /// The sockets give no more connections.
    pub async fn run(self, cancel: CancellationToken) -> Result<(), Error> {
        let mut connections = JoinSet::new();
        let result = loop {
            // Accepting is cancel safe, and so is joining.
            tokio::select! {
                () = cancel.cancelled() => break Ok(()),
                accepted = self.socket.accept() => match accepted {
                    Ok(stream) => {
                        connections.spawn(Arc::clone(&self.server).serve(stream));
                    }
                    Err(error) if is_passing(&error) => pause(&error).await,
                    Err(error) => break Err(Error::Accept(error)),
                },
                accepted = accept_tcp(self.tcp.as_ref()) => match accepted {
                    Ok((stream, tls)) => {
                        connections.spawn(Arc::clone(&self.server).serve_tls(stream, tls));
                    }
                    Err(error) if is_passing(&error) => pause(&error).await,
                    Err(error) => break Err(Error::Accept(error)),
                },
                Some(ended) = connections.join_next() => report(ended),
            }
        };
        if let Err(error) = self.socket.close() {
            debug!(%error, "could not remove the relay's socket");
        }
        self.server.cancel.cancel();
        let drained = timeout(self.server.limits.drain, async {
            while connections.join_next().await.is_some() {}
        });
        if drained.await.is_err() {
            info!(open = connections.len(), "cut the streams that did not end");
            connections.shutdown().await;
        }
        result
    }
}

impl Server {
    async fn serve_tls(self: Arc<Self>, stream: TcpStream, tls: TlsAcceptor) {
        match self.handshake(stream, &tls, &self.certificates).await {
            Ok(stream) => self.serve(stream).await,
            Err(error) => warn!(
                error = &error as &dyn std::error::Error,
                "refused a connection"
            ),
        }
    }

    /// One connection of the API server, from its first byte to its last.
    async fn serve<I>(self: Arc<Self>, io: I)
    where
        I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        // Held until the end. Too many are told so rather than left waiting.
        let place = self.places.try_acquire().ok();
        let bounds = Bounds {
            head: self.limits.connect_head,
            next_request: self.limits.handshake,
        };
        let has_place = place.is_some();
        let tunnel = connection::serve(io, bounds, &self.cancel, |request| {
            self.connect(request, has_place)
        });
        let result = match tunnel.await {
            Ok(None) => Ok(()),
            Ok(Some(tunnel)) => self.carry(tunnel).await,
            Err(error) => Err(error.into()),
        };
        match result {
            Ok(()) => {}
            Err(TunnelError::Stranger) => warn!("refused a client that is not the API server"),
            Err(error) => debug!(
                error = &error as &dyn std::error::Error,
                "a tunnel ended early"
            ),
        }
    }

    async fn connect(
        &self,
        mut request: Request<Incoming>,
        has_place: bool,
    ) -> (Response<Body>, Option<Tunnel>) {
        let near = hyper::upgrade::on(&mut request);
        let opened = if has_place {
            self.open(&request).await
        } else {
            Err((StatusCode::SERVICE_UNAVAILABLE, Refusal::Busy.to_string()))
        };
        match opened {
            Ok(far) => (Response::new(body::empty()), Some(Tunnel { near, far })),
            Err((status, message)) => {
                warn!(asked = %request.uri(), %status, reason = message, "refused to connect");
                (refuse(status, &message), None)
            }
        }
    }

    async fn open(&self, request: &Request<Incoming>) -> Result<Far, (StatusCode, String)> {
        let refusal = |refusal: Refusal| (refusal.status(), refusal.to_string());
        if request.method() != Method::CONNECT {
            return Err(refusal(Refusal::Method));
        }
        let authority = request.uri().authority().map_or("", |name| name.as_str());
        let target = Target::parse(authority)
            .map_err(|error| refusal(Refusal::Malformed(error.to_string())))?;
        if let Some(metrics) = &self.metrics
            && target.port == metrics_server::PORT
            && target.host == Host::Name(metrics_server::HOST_NAME.to_owned())
        {
            let name = Host::Name(metrics_server::SERVER_NAME.to_owned());
            let tls = acceptor(&metrics.certificates, &name)?;
            return Ok(Far::Metrics { tls });
        }
        let directory = &self.kubelet.directory;
        let route = directory.ask(self.limits.news, |directory| directory.route(&target));
        match route.await.map_err(refusal)? {
            Route::Kubelet(node) => {
                let tls = acceptor(&self.certificates, &target.host)?;
                Ok(Far::Kubelet { node, tls })
            }
            Route::Connect(address) => {
                let failed = |status, reason: String| {
                    (status, format!("could not connect to {target}: {reason}"))
                };
                match timeout(self.limits.connect, TcpStream::connect(address)).await {
                    Err(_) => {
                        let limit = self.limits.connect.as_secs();
                        Err(failed(
                            StatusCode::GATEWAY_TIMEOUT,
                            format!("no answer within {limit} s"),
                        ))
                    }
                    Ok(Err(error)) => Err(failed(StatusCode::BAD_GATEWAY, error.to_string())),
                    Ok(Ok(stream)) => {
                        if let Err(error) = stream.set_nodelay(true) {
                            debug!(%error, %target, "could not turn off delays");
                        }
                        Ok(Far::Stream(stream))
                    }
                }
            }
        }
    }

    async fn carry(&self, tunnel: Tunnel) -> Result<(), TunnelError> {
        let near = TokioIo::new(tunnel.near.await?);
        let (spliced, kind) = match tunnel.far {
            Far::Metrics { tls } => return self.serve_metrics(near, &tls).await,
            Far::Stream(far) => (splice(near, far, self.patience()).await, "connection"),
            Far::Kubelet { node, tls } => {
                let tls = self.handshake(near, &tls, &self.certificates).await?;
                let stream = connection::serve(tls, self.requests(), &self.cancel, |request| {
                    self.kubelet.answer(&node, request)
                });
                // The future is large and most of it is needed only now.
                let Some(stream) = pin!(stream).await? else {
                    return Ok(());
                };
                let near = TokioIo::new(stream.virtual_end.await?);
                let far = TokioIo::new(stream.host_end.await?);
                (splice(near, far, self.patience()).await, "stream")
            }
        };
        debug!(
            kind,
            forth = spliced.forth,
            back = spliced.back,
            end = %spliced.end,
            "a tunnel ended"
        );
        Ok(())
    }

    async fn serve_metrics<I>(&self, near: I, tls: &TlsAcceptor) -> Result<(), TunnelError>
    where
        I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let Some(Metrics { certificates, api }) = &self.metrics else {
            return Err(TunnelError::Stranger);
        };
        let tls = self.handshake(near, tls, certificates).await?;
        let answered = connection::serve(tls, self.requests(), &self.cancel, async |request| {
            (api.answer(&request).await, None::<()>)
        });
        pin!(answered).await?;
        Ok(())
    }

    /// The bounds of a connection that carries requests.
    fn requests(&self) -> Bounds {
        Bounds {
            head: self.limits.kubelet_head,
            next_request: self.limits.keep_alive,
        }
    }

    async fn handshake<I>(
        &self,
        io: I,
        tls: &TlsAcceptor,
        certificates: &Certificates,
    ) -> Result<tokio_rustls::server::TlsStream<I>, TunnelError>
    where
        I: AsyncRead + AsyncWrite + Unpin,
    {
        let stream = timeout(self.limits.handshake, tls.accept(io))
            .await
            .map_err(|_| TunnelError::Handshake)??;
        if certificates.is_api_server(stream.get_ref().1.peer_certificates()) {
            Ok(stream)
        } else {
            Err(TunnelError::Stranger)
        }
    }

    fn patience(&self) -> Patience {
        Patience {
            idle: self.limits.idle,
            half_closed: self.limits.half_closed,
        }
    }
}

impl fmt::Debug for Relay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Relay")
            .field("socket", &self.socket)
            .field("certificates", &self.server.certificates)
            .field("limits", &self.server.limits)
            .finish_non_exhaustive()
    }
}

/// The API server shows the reason phrase and nothing else of a refusal.
fn refuse(status: StatusCode, message: &str) -> Response<Body> {
    let mut response = text(status, message);
    if let Ok(reason) = ReasonPhrase::try_from(message.as_bytes()) {
        response.extensions_mut().insert(reason);
    }
    let close = HeaderValue::from_static("close");
    response
        .headers_mut()
        .insert(http::header::CONNECTION, close);
    response
}

fn acceptor(certificates: &Certificates, host: &Host) -> Result<TlsAcceptor, (StatusCode, String)> {
    certificates.acceptor(host).map_err(|error| {
        let error: &dyn std::error::Error = &error;
        warn!(%host, error, "could not play a server");
        let message = format!("the relay has no certificate for {host}");
        (StatusCode::INTERNAL_SERVER_ERROR, message)
    })
}

async fn accept_tcp(
    listener: Option<&(TcpListener, TlsAcceptor)>,
) -> io::Result<(TcpStream, TlsAcceptor)> {
    match listener {
        None => std::future::pending().await,
        Some((listener, tls)) => {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            Ok((stream, tls.clone()))
        }
    }
}

/// Out of file descriptors, or the other side has gone: the next one may work.
fn is_passing(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset
    ) || matches!(error.raw_os_error(), Some(23 | 24))
}

/// One connection that failed badly does not end the others.
fn report(ended: Result<(), JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        error!(%error, "a connection ended by a mistake of the relay");
    }
}

async fn pause(error: &io::Error) {
    warn!(%error, "could not accept a connection");
    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
}
