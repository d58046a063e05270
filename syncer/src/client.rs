//! How API servers are talked to: over one connection each, patiently where something is read, and not
//! for ever.

use std::{
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use futures::future::{BoxFuture, FutureExt as _};
use http::{Method, Request, Response, header::UPGRADE};
use http_body_util::BodyExt;
use hyper_rustls::{FixedServerNameResolver, HttpsConnectorBuilder};
use hyper_timeout::TimeoutConnector;
use hyper_util::{
    client::legacy::{self, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use kube::{
    Client, Config,
    client::{Body, ClientBuilder, ConfigExt, DynBody, retry::RetryPolicy},
};
use rustls_pki_types::ServerName;
use tokio::time::Sleep;
use tower::{
    BoxError, Layer, ServiceBuilder, ServiceExt,
    buffer::BufferLayer,
    retry::{Policy, RetryLayer},
    util::BoxService,
};

use crate::{metrics::Metrics, silence::Patience, write::Side};

/// The longest pause before a question is asked again that a busy server did not answer.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Sends requests and gives answers.
type Service = BoxService<Request<Body>, Response<Box<DynBody>>, BoxError>;

/// How many requests may wait to be sent.
const WAITING: usize = 1024;

/// How often a server is asked for a sign of life, and how long that may take. All requests go over one
/// connection, so one that is dead must not be used for long.
const SIGN_OF_LIFE: Duration = Duration::from_secs(10);

/// How much of one answer may wait to be read.
const WINDOW: u32 = 128 * 1024;
/// How much of all together: more than all watches may have, so that slow ones never hold up the rest.
const WINDOWS: u32 = 8 * 1024 * 1024;

/// A client of the API server of `side` that asks a busy one again, and gives up one that is silent.
///
/// # Errors
/// Unusable certificates, keys or addresses.
pub fn connect(config: Config, side: Side, metrics: &Arc<Metrics>) -> Result<Client, kube::Error> {
    connect_listening(config, side, metrics, SIGN_OF_LIFE)
}

/// As [`connect`], with another time for a sign of life.
fn connect_listening(
    mut config: Config,
    side: Side,
    metrics: &Arc<Metrics>,
    sign_of_life: Duration,
) -> Result<Client, kube::Error> {
    // It would also repeat writes, of what may not be wanted any more, and for a quarter of an hour.
    config.default_retry = false;
    let client = stack(config, sign_of_life)?
        .with_layer(&Patience::new(side, metrics))
        // What is asked again is asked through a copy.
        .with_layer(&BufferLayer::new(WAITING))
        .with_layer(&RetryLayer::new(Questions::new()));
    Ok(client.build())
}

/// A client as [`Client::try_from`] makes it, that sends all requests over one connection. What becomes a stream of
/// bytes, such as a command's, has one of its own.
///
/// # Errors
/// Unusable certificates, keys or addresses.
pub fn multiplexed(config: Config) -> Result<Client, kube::Error> {
    let upgrades = Upgrades(config.clone());
    Ok(stack(config, SIGN_OF_LIFE)?.with_layer(&upgrades).build())
}

/// As [`ClientBuilder::try_from`] makes it, which only knows HTTP/1: with that, each of a hundred requests
/// at a time has a connection of its own, and both sides spend more on those than on the requests.
fn stack(config: Config, sign_of_life: Duration) -> Result<ClientBuilder<Service>, kube::Error> {
    if config.proxy_url.is_some() {
        return ClientBuilder::try_from(config);
    }
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    let mut tls = HttpsConnectorBuilder::new()
        .with_tls_config(config.rustls_client_config()?)
        .https_or_http();
    if let Some(name) = &config.tls_server_name {
        let name = ServerName::try_from(name.clone())
            .map_err(|error| kube::Error::Service(error.into()))?;
        tls = tls.with_server_name_resolver(FixedServerNameResolver::new(name));
    }
    let mut connector = TimeoutConnector::new(tls.enable_all_versions().wrap_connector(tcp));
    connector.set_connect_timeout(config.connect_timeout);
    connector.set_read_timeout(config.read_timeout);
    connector.set_write_timeout(config.write_timeout);
    let client = legacy::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .pool_timer(TokioTimer::new())
        .http2_initial_stream_window_size(WINDOW)
        .http2_initial_connection_window_size(WINDOWS)
        .http2_keep_alive_interval(sign_of_life)
        .http2_keep_alive_timeout(sign_of_life)
        .build(connector);
    let retries = config
        .default_retry
        .then(|| RetryLayer::new(RetryPolicy::server_retry()));
    let service = ServiceBuilder::new()
        .layer(config.base_uri_layer())
        .option_layer(retries)
        .option_layer(config.auth_layer()?)
        .layer(config.extra_headers_layer()?)
        .map_err(BoxError::from)
        .service(client)
        .map_response(|answer: Response<_>| {
            answer.map(|body| Box::new(BodyExt::map_err(body, BoxError::from)) as Box<DynBody>)
        })
        .boxed();
    Ok(ClientBuilder::new(service, config.default_namespace))
}

/// Requests that end as a stream of bytes, which HTTP/2 as API servers speak it cannot carry.
struct Upgrades(Config);

impl<S> Layer<S> for Upgrades {
    type Service = Routed<S>;

    fn layer(&self, rest: S) -> Routed<S> {
        Routed {
            upgrades: self.0.clone(),
            rest,
        }
    }
}

/// Sends those over connections of their own, and the rest over the one that is shared.
struct Routed<S> {
    upgrades: Config,
    rest: S,
}

impl<S> tower::Service<Request<Body>> for Routed<S>
where
    S: tower::Service<Request<Body>, Response = Response<Box<DynBody>>, Error = BoxError>,
    S::Future: Send + 'static,
{
    type Response = Response<Box<DynBody>>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Self::Response, BoxError>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.rest.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        if !request.headers().contains_key(UPGRADE) {
            return self.rest.call(request).boxed();
        }
        let client = Client::try_from(self.upgrades.clone());
        async move {
            let answer = client?.send(request).await?;
            Ok(answer.map(|body| Box::new(BodyExt::map_err(body, BoxError::from)) as Box<DynBody>))
        }
        .boxed()
    }
}

/// Repeats questions that a server was too busy for, when it says or a little later each time. Writes
/// are not repeated here: their queue knows what is wanted by then, and works on others meanwhile.
#[derive(Clone)]
pub(crate) struct Questions(RetryPolicy);

impl Questions {
    pub(crate) fn new() -> Self {
        let first = Duration::from_millis(20);
        let policy = RetryPolicy::new(first, LONGEST_PAUSE, u32::MAX, true);
        Self(policy.expect("the first pause is shorter than the longest"))
    }
}

impl<Answer> Policy<Request<Body>, Response<Answer>, BoxError> for Questions {
    type Future = Sleep;

    fn retry(
        &mut self,
        request: &mut Request<Body>,
        result: &mut Result<Response<Answer>, BoxError>,
    ) -> Option<Sleep> {
        self.0.retry(request, result)
    }

    fn clone_request(&mut self, request: &Request<Body>) -> Option<Request<Body>> {
        let is_question = request.method() == Method::GET;
        if !is_question {
            return None;
        }
        Policy::<Request<Body>, Response<Answer>, BoxError>::clone_request(&mut self.0, request)
    }
}

#[cfg(test)]
mod tests {
    use std::{
        convert::Infallible,
        future,
        net::SocketAddr,
        sync::{
            Arc, Mutex, Once,
            atomic::{AtomicUsize, Ordering},
        },
    };

    use futures::future::try_join_all;
    use http::Version;
    use http_body_util::Empty;
    use hyper::{
        body::{Bytes, Incoming},
        service::service_fn,
    };
    use hyper_util::{rt::TokioIo, server::conn::auto};
    use rcgen::{CertificateParams, KeyPair};
    use rustls::ServerConfig;
    use rustls_pki_types::PrivatePkcs8KeyDer;
    use tokio::{
        io::copy_bidirectional,
        net::{TcpListener, TcpStream},
        sync::Barrier,
        task::JoinSet,
    };
    use tokio_rustls::TlsAcceptor;
    use tokio_util::sync::CancellationToken;

    use super::*;

    /// How many requests there are at a time.
    const REQUESTS: usize = 50;

    /// A server that speaks what API servers do, and answers when it has so many requests.
    struct Server {
        config: Config,
        address: SocketAddr,
        /// How many there were that a request came over.
        connections: Arc<AtomicUsize>,
        /// What each request spoke.
        spoken: Arc<Mutex<Vec<Version>>>,
        _tasks: JoinSet<()>,
    }

    async fn server(requests: usize) -> Server {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
        let certificate = params.self_signed(&key).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut tls = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![certificate.der().clone()],
                PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
            )
            .unwrap();
        tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let acceptor = TlsAcceptor::from(Arc::new(tls));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut config = Config::new(url(address));
        config.root_cert = Some(vec![certificate.der().to_vec()]);

        let connections = Arc::<AtomicUsize>::default();
        let counter = Arc::clone(&connections);
        let spoken = Arc::<Mutex<Vec<Version>>>::default();
        let heard = Arc::clone(&spoken);
        let barrier = Arc::new(Barrier::new(requests));
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut open = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (acceptor, barrier) = (acceptor.clone(), Arc::clone(&barrier));
                let (counter, heard) = (Arc::clone(&counter), Arc::clone(&heard));
                open.spawn(async move {
                    // Several may be begun until the first one says what it can do.
                    let Ok(stream) = acceptor.accept(stream).await else {
                        return;
                    };
                    let first = Arc::new(Once::new());
                    let service = service_fn(move |request: Request<Incoming>| {
                        heard.lock().unwrap().push(request.version());
                        first.call_once(|| {
                            counter.fetch_add(1, Ordering::SeqCst);
                        });
                        let barrier = Arc::clone(&barrier);
                        async move {
                            barrier.wait().await;
                            Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new()))
                        }
                    });
                    let server = auto::Builder::new(TokioExecutor::new());
                    drop(server.serve_connection(TokioIo::new(stream), service).await);
                });
            }
        });
        Server {
            config,
            address,
            connections,
            spoken,
            _tasks: tasks,
        }
    }

    fn url(address: SocketAddr) -> http::Uri {
        format!("https://{address}").parse().unwrap()
    }

    /// Passes everything on to `server`, and nothing any more of its first connection after `silence`,
    /// which stays open all the same: as when the machine behind it is gone.
    async fn through_proxy(server: &Server, silence: &CancellationToken) -> (Config, JoinSet<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut config = server.config.clone();
        config.cluster_url = url(listener.local_addr().unwrap());
        let (to, silence) = (server.address, silence.clone());
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut open = JoinSet::new();
            let mut silence = Some(silence);
            loop {
                let (mut near, _) = listener.accept().await.unwrap();
                let mut far = TcpStream::connect(to).await.unwrap();
                let silence = silence.take();
                open.spawn(async move {
                    let passing = copy_bidirectional(&mut near, &mut far);
                    let Some(silence) = silence else {
                        drop(passing.await);
                        return;
                    };
                    silence.run_until_cancelled_owned(passing).await;
                    future::pending::<()>().await;
                });
            }
        });
        (config, tasks)
    }

    #[tokio::test]
    async fn a_connection_without_a_sign_of_life_is_given_up() {
        let server = server(1).await;
        let (metrics, silence) = (Arc::default(), CancellationToken::new());
        let (config, _tasks) = through_proxy(&server, &silence).await;
        let short = Duration::from_millis(500);
        let client = connect_listening(config, Side::Host, &metrics, short).unwrap();
        let ask = || {
            let request = Request::post("/api/v1/pods").body(Body::empty()).unwrap();
            client.send(request)
        };
        ask().await.unwrap();
        silence.cancel();
        // Repeating a write is for who asked for it; a busy machine may take another time or two.
        let mut lost = 0;
        while ask().await.is_err() {
            lost += 1;
        }
        assert!(lost > 0, "nothing was silent");
        assert_eq!(server.connections.load(Ordering::SeqCst), 2);
        // It was the connection that ended, and nobody's patience with a server.
        let told = "vcluster_syncer_silences_total{side=\"host\"} 0";
        assert!(metrics.render().contains(told), "{}", metrics.render());
    }

    #[tokio::test]
    async fn many_requests_at_a_time_share_a_connection() {
        let server = server(REQUESTS).await;
        let client = connect(server.config, Side::Host, &Arc::default()).unwrap();
        let requests = (0..REQUESTS).map(|_| {
            let request = Request::post("/api/v1/pods").body(Body::empty()).unwrap();
            client.send(request)
        });
        try_join_all(requests).await.unwrap();
        assert_eq!(server.connections.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn what_becomes_a_stream_is_asked_for_in_the_words_of_its_own_connection() {
        let server = server(1).await;
        let client = multiplexed(server.config).unwrap();
        let request = |header: Option<&str>| {
            let mut request = Request::get("/exec").body(Body::empty()).unwrap();
            let headers = header.map(|value| (UPGRADE, value.parse().unwrap()));
            request.headers_mut().extend(headers);
            request
        };
        for header in [None, Some("websocket"), None] {
            client.send(request(header)).await.unwrap();
        }
        let spoken = server.spoken.lock().unwrap();
        assert_eq!(
            *spoken,
            [Version::HTTP_2, Version::HTTP_11, Version::HTTP_2]
        );
        assert_eq!(server.connections.load(Ordering::SeqCst), 2);
    }
}
