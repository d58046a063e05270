//! Where a store answers, and how it is reached.

use std::path::{Path, PathBuf};

use http::{Uri, uri::Scheme};
use hyper::body::Incoming;
use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::{
    client::legacy::{
        Client,
        connect::{Connect, HttpConnector},
    },
    rt::{TokioExecutor, TokioIo},
};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::{
    CertificateDer, PrivateKeyDer,
    pem::{self, PemObject as _},
};
use tokio::net::UnixStream;
use tonic::body::Body;
use tower::{service_fn, util::BoxCloneService};

use super::Error;

/// What requests are sent through.
pub(super) type Channel = BoxCloneService<
    http::Request<Body>,
    http::Response<Incoming>,
    hyper_util::client::legacy::Error,
>;

/// Where a store answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Address {
    /// `http://HOST:PORT`.
    Open(Uri),
    /// `https://HOST:PORT`, for clients with a certificate.
    Secure(Uri),
    /// `unix:PATH`.
    Socket(PathBuf),
}

/// The files of a client, in PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Credentials {
    /// Who vouches for the store.
    pub(super) authority: PathBuf,
    /// Who vouches for the client.
    pub(super) certificate: PathBuf,
    pub(super) key: PathBuf,
}

impl Address {
    /// Reads it as other programs are given it, too.
    pub(super) fn read(text: &str) -> Result<Self, Error> {
        if let Some(path) = text.strip_prefix("unix:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            return Ok(Self::Socket(path.into()));
        }
        let uri = text.parse::<Uri>().ok();
        let scheme = uri.as_ref().and_then(Uri::scheme).cloned();
        match (uri, scheme) {
            (Some(uri), Some(scheme)) if scheme == Scheme::HTTP => Ok(Self::Open(uri)),
            (Some(uri), Some(scheme)) if scheme == Scheme::HTTPS => Ok(Self::Secure(uri)),
            _ => Err(Error::Endpoint {
                endpoint: text.to_owned(),
            }),
        }
    }

    /// What requests are addressed to. Behind a socket nobody looks at it.
    pub(super) fn origin(&self) -> Uri {
        match self {
            Self::Open(origin) | Self::Secure(origin) => origin.clone(),
            Self::Socket(_) => Uri::from_static("http://localhost"),
        }
    }

    /// Connects with the first request.
    pub(super) fn channel(&self, credentials: &Credentials) -> Result<Channel, Error> {
        Ok(match self {
            Self::Open(_) => channel(tcp()),
            Self::Secure(_) => {
                let tls = HttpsConnectorBuilder::new()
                    .with_tls_config(credentials.config()?)
                    .https_only()
                    .enable_http2()
                    .wrap_connector(tcp());
                channel(tls)
            }
            Self::Socket(path) => {
                let path = path.clone();
                channel(service_fn(move |_: Uri| {
                    let path = path.clone();
                    Box::pin(async move { UnixStream::connect(path).await.map(TokioIo::new) })
                }))
            }
        })
    }
}

impl Credentials {
    fn config(&self) -> Result<ClientConfig, Error> {
        let mut trusted = RootCertStore::empty();
        for certificate in certificates(&self.authority)? {
            trusted.add(certificate).map_err(Error::Credentials)?;
        }
        let key = PrivateKeyDer::from_pem_file(&self.key).map_err(unusable(&self.key))?;
        ClientConfig::builder()
            .with_root_certificates(trusted)
            .with_client_auth_cert(certificates(&self.certificate)?, key)
            .map_err(Error::Credentials)
    }
}

fn channel(connector: impl Connect + Clone + Send + Sync + 'static) -> Channel {
    let client = Client::builder(TokioExecutor::new())
        .http2_only(true)
        .build(connector);
    BoxCloneService::new(client)
}

fn tcp() -> HttpConnector {
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect)
        .map_err(unusable(path))
}

fn unusable(path: &Path) -> impl FnOnce(pem::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::Pem { path, source }
}

#[cfg(test)]
mod tests;
