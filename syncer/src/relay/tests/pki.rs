//! Certificates for tests.

use std::{path::Path, sync::Arc};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

/// An authority, as the harness makes it.
pub(super) struct Authority {
    pub(super) certificate: CertificateDer<'static>,
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    pub(super) fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params
            .distinguished_name
            .push(DnType::CommonName, "kubernetes");
        let certificate = params.self_signed(&key).unwrap();
        Self {
            certificate: certificate.der().clone(),
            pem: certificate.pem(),
            issuer: Issuer::new(params, key),
        }
    }

    /// Writes certificate and key into `folder`, under the name of kubeadm's.
    pub(super) fn write(&self, folder: &Path, name: &str) {
        let key = self.issuer.key().serialize_pem();
        std::fs::write(folder.join(format!("{name}.crt")), &self.pem).unwrap();
        std::fs::write(folder.join(format!("{name}.key")), key).unwrap();
    }

    /// How a client called `common_name` speaks TLS to whom `trusted` has signed.
    pub(super) fn client(&self, common_name: &str, trusted: &Self) -> ClientConfig {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params
            .distinguished_name
            .push(DnType::CommonName, common_name);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        trusting(trusted)
            .with_client_auth_cert(vec![certificate.der().clone()], key)
            .unwrap()
    }

    /// How a client without a certificate does.
    pub(super) fn anonymous(&self) -> ClientConfig {
        trusting(self).with_no_client_auth()
    }
}

fn trusting(
    authority: &Authority,
) -> rustls::ConfigBuilder<ClientConfig, rustls::client::WantsClientCert> {
    let mut roots = RootCertStore::empty();
    roots.add(authority.certificate.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
}
