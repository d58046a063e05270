//! Stores that answer with one key, behind each kind of address.

use std::{convert::Infallible, fs, net::Ipv4Addr, sync::Arc};

use futures::stream;
use http::{HeaderMap, Request, Response};
use http_body_util::StreamBody;
use hyper::{
    body::{Bytes, Frame},
    rt::{Read, Write},
    service::service_fn,
};
use hyper_util::server::conn::auto;
use prost::Message as _;
use rcgen::{
    BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, SanType,
};
use rstest::rstest;
use rustls::{ServerConfig, server::WebPkiClientVerifier};
use rustls_pki_types::PrivatePkcs8KeyDer;
use tempfile::TempDir;
use tokio::net::{TcpListener, UnixListener};
use tokio_rustls::TlsAcceptor;

use super::{
    super::{
        etcd::Etcd,
        message::{KeyValue, RangeResponse, ResponseHeader},
        store::Store as _,
    },
    *,
};

const KEY: &str = "/registry/configmaps/default/web";

/// Answers whatever is asked.
async fn serve(stream: impl Read + Write + Unpin + 'static) {
    let answer = RangeResponse {
        header: Some(ResponseHeader { revision: 7 }),
        kvs: vec![KeyValue {
            key: KEY.into(),
            ..KeyValue::default()
        }],
        more: false,
    }
    .encode_to_vec();
    let length = u32::try_from(answer.len()).unwrap().to_be_bytes();
    let message = [&[0], length.as_slice(), answer.as_slice()].concat();
    let service = service_fn(move |_: Request<Incoming>| {
        let mut ended = HeaderMap::new();
        ended.insert("grpc-status", 0.into());
        let frames = [
            Frame::data(Bytes::from(message.clone())),
            Frame::trailers(ended),
        ];
        let body = StreamBody::new(stream::iter(frames.map(Ok::<_, Infallible>)));
        let answer = Response::builder().header("content-type", "application/grpc");
        async move { answer.body(body) }
    });
    let server = auto::Builder::new(TokioExecutor::new()).http2_only();
    // A client that is refused hangs up.
    drop(server.serve_connection(stream, service).await);
}

/// The keys of the store at the endpoint, which the server serves meanwhile.
async fn ask(
    endpoint: &str,
    credentials: &Credentials,
    server: impl Future<Output = ()>,
) -> Result<Vec<String>, Error> {
    let store = Etcd::new(endpoint, credentials)?;
    let reading =
        tokio::select! { reading = store.read() => reading?, () = server => unreachable!() };
    Ok(reading.entries.into_keys().collect())
}

/// Of a store that wants none.
fn no_credentials() -> Credentials {
    let nowhere = || PathBuf::from("/nowhere");
    Credentials {
        authority: nowhere(),
        certificate: nowhere(),
        key: nowhere(),
    }
}

/// An authority, and the files of a client that it vouches for.
struct Authority {
    certificate: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
    folder: TempDir,
}

impl Authority {
    fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).unwrap();
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("ca.crt"), certificate.pem()).unwrap();
        let authority = Self {
            certificate: certificate.der().clone(),
            issuer: Issuer::new(params, key),
            folder,
        };
        let (certificate, key) = authority.sign(ExtendedKeyUsagePurpose::ClientAuth);
        let folder = authority.folder.path();
        fs::write(folder.join("client.crt"), certificate.pem()).unwrap();
        fs::write(folder.join("client.key"), key.serialize_pem()).unwrap();
        authority
    }

    fn sign(&self, usage: ExtendedKeyUsagePurpose) -> (rcgen::Certificate, KeyPair) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.extended_key_usages = vec![usage];
        params.subject_alt_names = vec![SanType::IpAddress(Ipv4Addr::LOCALHOST.into())];
        (params.signed_by(&key, &self.issuer).unwrap(), key)
    }

    fn credentials(&self) -> Credentials {
        let file = |name| self.folder.path().join(name);
        Credentials {
            authority: file("ca.crt"),
            certificate: file("client.crt"),
            key: file("client.key"),
        }
    }

    /// A server that speaks to none but those whom this authority vouches for.
    fn server(&self) -> TlsAcceptor {
        let mut trusted = RootCertStore::empty();
        trusted.add(self.certificate.clone()).unwrap();
        let clients = WebPkiClientVerifier::builder(trusted.into());
        let (certificate, key) = self.sign(ExtendedKeyUsagePurpose::ServerAuth);
        let key = PrivatePkcs8KeyDer::from(key.serialize_der());
        let mut config = ServerConfig::builder()
            .with_client_cert_verifier(clients.build().unwrap())
            .with_single_cert(vec![certificate.der().clone()], key.into())
            .unwrap();
        config.alpn_protocols = vec![b"h2".to_vec()];
        TlsAcceptor::from(Arc::new(config))
    }
}

#[tokio::test]
async fn a_store_is_reached_through_its_port() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let server = async {
        let (stream, _) = listener.accept().await.unwrap();
        serve(TokioIo::new(stream)).await;
    };
    let found = ask(&endpoint, &no_credentials(), server).await;
    assert_eq!(found.unwrap(), [KEY]);
}

#[rstest]
#[case::as_apiservers_are_told("unix:")]
#[case::as_kine_says_it("unix://")]
#[tokio::test]
async fn a_store_is_reached_through_its_socket(#[case] scheme: &str) {
    let folder = tempfile::tempdir().unwrap();
    // As k0s calls it.
    let socket = folder.path().join("kine.sock:2379");
    let listener = UnixListener::bind(&socket).unwrap();
    let endpoint = format!("{scheme}{}", socket.display());
    let server = async {
        let (stream, _) = listener.accept().await.unwrap();
        serve(TokioIo::new(stream)).await;
    };
    let found = ask(&endpoint, &no_credentials(), server).await;
    assert_eq!(found.unwrap(), [KEY]);
}

#[rstest]
#[case::known(true)]
#[case::of_another_authority(false)]
#[tokio::test]
async fn a_store_with_certificates_is_shown_one(#[case] is_known: bool) {
    let _first = rustls::crypto::ring::default_provider().install_default();
    let authority = Authority::new();
    let stranger = Authority::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("https://{}", listener.local_addr().unwrap());
    let acceptor = authority.server();
    let server = async {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            if let Ok(stream) = acceptor.accept(stream).await {
                serve(TokioIo::new(stream)).await;
            }
        }
    };
    let mut credentials = authority.credentials();
    if !is_known {
        let theirs = stranger.credentials();
        (credentials.certificate, credentials.key) = (theirs.certificate, theirs.key);
    }
    match ask(&endpoint, &credentials, server).await {
        Ok(found) => assert!(is_known && found == [KEY], "{found:?}"),
        Err(error) => assert!(
            !is_known && matches!(error, Error::Store { .. }),
            "{error:?}"
        ),
    }
}

#[test]
fn a_file_that_is_no_certificate_is_named() {
    let secure = Address::read("https://127.0.0.1:2379").unwrap();
    let error = secure.channel(&no_credentials()).err().unwrap();
    let expected = "/nowhere is of no use for a store with certificates";
    assert_eq!(error.to_string(), expected);
}

#[rstest]
#[case::nothing("")]
#[case::no_scheme("127.0.0.1:2379")]
#[case::another_scheme("ftp://127.0.0.1:2379")]
#[case::a_path("/run/kine.sock")]
fn another_text_is_no_address(#[case] text: &str) {
    let error = Address::read(text).unwrap_err();
    assert!(matches!(error, Error::Endpoint { endpoint } if endpoint == text));
}
