//! The serving certificates of the nodes that the relay plays, made when they are asked for and
//! signed by the cluster's authority, and the check of who calls.

use std::{
    collections::HashMap,
    fmt, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use jiff::{Timestamp, ToSpan, tz::TimeZone};
use rcgen::{
    CertificateParams, DnType, ExtendedKeyUsagePurpose, Issuer, KeyPair, KeyUsagePurpose, SanType,
    SerialNumber,
};
use rustls::{
    RootCertStore, ServerConfig,
    server::{NoServerSessionStorage, WebPkiClientVerifier, danger::ClientCertVerifier},
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, pem::PemObject};
use sha2::{Digest, Sha256};
use tokio_rustls::TlsAcceptor;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::{
    options::{Clients, RelayOptions},
    target::Host,
};

/// Certificates hold for a year and are replaced long before.
const RENEW_AFTER: Duration = Duration::from_hours(24 * 90);

/// The authority, and what it has signed so far.
pub(super) struct Certificates {
    issuer: Issuer<'static, KeyPair>,
    key: KeyPair,
    verifier: Arc<dyn ClientCertVerifier>,
    clients: Vec<String>,
    // Bounded by the number of names that the cluster's nodes have.
    minted: Mutex<HashMap<Host, (Instant, TlsAcceptor)>>,
}

/// The relay cannot speak TLS.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file is not readable.
    #[error("could not read {}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A file is not what it should be.
    #[error("could not use the authority in {}", path.display())]
    Authority {
        /// Which.
        path: PathBuf,
        /// Why not.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// No certificate could be made.
    #[error("could not make a certificate for {host}")]
    Mint {
        /// For whom.
        host: String,
        /// Why not.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl Certificates {
    /// Reads the authority that `options` name, for a server of these `clients`.
    pub(super) fn load(options: &RelayOptions, clients: &Clients) -> Result<Self, Error> {
        let certificate = read(&options.authority)?;
        let key = read(&options.authority_key)?;
        let trusted = read(&clients.authority)?;

        let key = KeyPair::from_pem(&key).map_err(of_file(&options.authority_key))?;
        let issuer =
            Issuer::from_ca_cert_pem(&certificate, key).map_err(of_file(&options.authority))?;
        let verifier =
            client_verifier(&trusted).map_err(|source| of_file(&clients.authority)(source))?;
        Ok(Self {
            issuer,
            key: KeyPair::generate().map_err(mint("nodes"))?,
            verifier,
            clients: clients.names.clone(),
            minted: Mutex::default(),
        })
    }

    /// Answers TLS as `host`.
    pub(super) fn acceptor(&self, host: &Host) -> Result<TlsAcceptor, Error> {
        let mut minted = self.minted.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((made, acceptor)) = minted.get(host)
            && made.elapsed() < RENEW_AFTER
        {
            return Ok(acceptor.clone());
        }
        let acceptor = self.mint(host)?;
        minted.insert(host.clone(), (Instant::now(), acceptor.clone()));
        Ok(acceptor)
    }

    /// Is the client whose certificates these are the API server? The authority has signed others,
    /// and may sign what a tenant asks it to.
    pub(super) fn is_api_server(&self, certificates: Option<&[CertificateDer<'_>]>) -> bool {
        let Some([leaf, ..]) = certificates else {
            return false;
        };
        common_name(leaf).is_some_and(|name| self.clients.contains(&name))
    }

    fn mint(&self, host: &Host) -> Result<TlsAcceptor, Error> {
        let text = host.to_string();
        let params = params(host).map_err(mint(&text))?;
        let certificate = params
            .signed_by(&self.key, &self.issuer)
            .map_err(mint(&text))?;
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(self.key.serialize_der()));
        let mut config = builder()
            .map_err(mint(&text))?
            .with_client_cert_verifier(Arc::clone(&self.verifier))
            .with_single_cert(vec![certificate.der().clone()], key)
            .map_err(mint(&text))?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        // Streams are long and few; resumption would only cost memory.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(TlsAcceptor::from(Arc::new(config)))
    }
}

impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificates")
            .field("clients", &self.clients)
            .finish_non_exhaustive()
    }
}

fn builder() -> Result<rustls::ConfigBuilder<ServerConfig, rustls::WantsVerifier>, rustls::Error> {
    // One client, the API server, which has spoken 1.3 for as long as we support it.
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider);
    builder.with_protocol_versions(&[&rustls::version::TLS13])
}

fn params(host: &Host) -> Result<CertificateParams, rcgen::Error> {
    let now = Timestamp::now();
    let day = |date: jiff::civil::Date| {
        let number = |part: i8| u8::try_from(part).unwrap_or(1);
        rcgen::date_time_ymd(date.year().into(), number(date.month()), number(date.day()))
    };
    let today = now.to_zoned(TimeZone::UTC).date();

    let mut params = CertificateParams::default();
    params.not_before = day(today.saturating_sub(1.day()));
    params.not_after = day(today.saturating_add(1.year()));
    params.subject_alt_names = vec![match host {
        Host::Address(address) => SanType::IpAddress(*address),
        Host::Name(name) => SanType::DnsName(name.as_str().try_into()?),
    }];
    params
        .distinguished_name
        .push(DnType::CommonName, format!("system:node:{host}"));
    params
        .distinguished_name
        .push(DnType::OrganizationName, "system:nodes");
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    // The default comes from the key, which all these certificates share.
    let serial = Sha256::digest(format!("{host} {}", now.as_nanosecond()));
    params.serial_number = Some(SerialNumber::from_slice(&serial[..16]));
    Ok(params)
}

fn client_verifier(
    authority: &str,
) -> Result<Arc<dyn ClientCertVerifier>, Box<dyn std::error::Error + Send + Sync>> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(authority.as_bytes()) {
        roots.add(certificate?)?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    Ok(WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build()?)
}

fn common_name(certificate: &[u8]) -> Option<String> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    let mut names = certificate.subject().iter_common_name();
    let name = names.next()?.as_str().ok()?.to_owned();
    // Two names are one too many to be sure.
    names.next().is_none().then_some(name)
}

fn read(path: &Path) -> Result<String, Error> {
    std::fs::read_to_string(path).map_err(|source| Error::Read {
        path: path.to_owned(),
        source,
    })
}

fn of_file<E: Into<Box<dyn std::error::Error + Send + Sync>>>(
    path: &Path,
) -> impl FnOnce(E) -> Error {
    |source| Error::Authority {
        path: path.to_owned(),
        source: source.into(),
    }
}

fn mint<E: Into<Box<dyn std::error::Error + Send + Sync>>>(host: &str) -> impl FnOnce(E) -> Error {
    |source| Error::Mint {
        host: host.to_owned(),
        source: source.into(),
    }
}
