//! A certificate authority that signs leaf certificates.

use std::{fmt, time::Duration};

use jiff::{Timestamp, tz::TimeZone};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, SanType,
};

/// The host's clock may be behind ours by as much.
const CLOCK_SKEW: Duration = Duration::from_hours(24);
/// Virtual clusters live for minutes; kept ones must not die of their certificates.
const YEARS: i16 = 10;

/// What signs the certificates of one purpose.
pub(super) struct Authority {
    certificate: String,
    issuer: Issuer<'static, KeyPair>,
    validity: Validity,
}

/// A certificate with its private key, both PEM.
pub(super) struct Leaf {
    pub(super) certificate: String,
    pub(super) key: String,
}

/// From when until when certificates hold.
#[derive(Debug, Clone, Copy)]
pub(super) struct Validity {
    from: jiff::civil::Date,
    until: jiff::civil::Date,
}

/// A certificate could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The library refused to make a key or a certificate.
    #[error("could not make the {what}")]
    Generate {
        /// What was to be made.
        what: &'static str,
        /// Why not.
        source: rcgen::Error,
    },
    /// The machine's clock shows a date for which no certificate can be made.
    #[error("could not make certificates for the date {now}")]
    Clock {
        /// The date.
        now: Timestamp,
    },
    /// A kubeconfig could not be written as YAML.
    #[error("could not write the kubeconfig of {user}")]
    Kubeconfig {
        /// Whose kubeconfig.
        user: &'static str,
        /// Why not.
        source: serde_yaml_ng::Error,
    },
}

impl Authority {
    pub(super) fn generate(common_name: &'static str, validity: Validity) -> Result<Self, Error> {
        let key = key(common_name)?;
        let params = authority(common_name, validity);
        let certificate = params
            .self_signed(&key)
            .map_err(|source| generate(common_name, source))?
            .pem();
        Ok(Self {
            certificate,
            issuer: Issuer::new(params, key),
            validity,
        })
    }

    /// The authority that was generated under this name, read back. Both texts are PEM.
    pub(super) fn read(
        common_name: &'static str,
        certificate: &str,
        key: &str,
        validity: Validity,
    ) -> Result<Self, Error> {
        let key = KeyPair::from_pem(key).map_err(|source| generate(common_name, source))?;
        Ok(Self {
            certificate: certificate.to_owned(),
            issuer: Issuer::new(authority(common_name, validity), key),
            validity,
        })
    }

    pub(super) fn certificate(&self) -> &str {
        &self.certificate
    }

    pub(super) fn key(&self) -> String {
        self.issuer.key().serialize_pem()
    }

    /// A client that authenticates as `common_name` in the group `organization`.
    pub(super) fn client(
        &self,
        common_name: &'static str,
        organization: Option<&str>,
    ) -> Result<Leaf, Error> {
        let mut params = params(common_name, organization, self.validity);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.sign(common_name, params)
    }

    /// A server that answers under `names`.
    pub(super) fn server(
        &self,
        common_name: &'static str,
        names: Vec<SanType>,
    ) -> Result<Leaf, Error> {
        let mut params = params(common_name, None, self.validity);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.subject_alt_names = names;
        self.sign(common_name, params)
    }

    /// One of several that are each other's servers and clients, under `names`.
    pub(super) fn peer(
        &self,
        common_name: &'static str,
        names: Vec<SanType>,
    ) -> Result<Leaf, Error> {
        let mut params = params(common_name, None, self.validity);
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        params.subject_alt_names = names;
        self.sign(common_name, params)
    }

    fn sign(&self, what: &'static str, mut params: CertificateParams) -> Result<Leaf, Error> {
        params.key_usages = vec![
            KeyUsagePurpose::DigitalSignature,
            KeyUsagePurpose::KeyEncipherment,
        ];
        params.use_authority_key_identifier_extension = true;
        let key = key(what)?;
        let certificate = params
            .signed_by(&key, &self.issuer)
            .map_err(|source| generate(what, source))?;
        Ok(Leaf {
            certificate: certificate.pem(),
            key: key.serialize_pem(),
        })
    }
}

impl Validity {
    pub(super) fn starting(now: Timestamp) -> Result<Self, Error> {
        let clock = || Error::Clock { now };
        let from = now.checked_sub(CLOCK_SKEW).map_err(|_| clock())?;
        let from = from.to_zoned(TimeZone::UTC).date();
        let until = from
            .checked_add(jiff::Span::new().years(YEARS))
            .map_err(|_| clock())?;
        // Earlier dates cannot be written in a certificate.
        if from.year() < 1970 {
            return Err(clock());
        }
        Ok(Self { from, until })
    }
}

/// A fresh ECDSA P-256 key.
pub(super) fn key(what: &'static str) -> Result<KeyPair, Error> {
    KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(|source| generate(what, source))
}

fn generate(what: &'static str, source: rcgen::Error) -> Error {
    Error::Generate { what, source }
}

fn authority(common_name: &str, validity: Validity) -> CertificateParams {
    let mut params = params(common_name, None, validity);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![
        KeyUsagePurpose::DigitalSignature,
        KeyUsagePurpose::KeyCertSign,
        KeyUsagePurpose::CrlSign,
    ];
    params
}

fn params(common_name: &str, organization: Option<&str>, validity: Validity) -> CertificateParams {
    let mut name = DistinguishedName::new();
    if let Some(organization) = organization {
        name.push(DnType::OrganizationName, organization);
    }
    name.push(DnType::CommonName, common_name);
    let day = |date: jiff::civil::Date| {
        rcgen::date_time_ymd(
            date.year().into(),
            date.month().unsigned_abs(),
            date.day().unsigned_abs(),
        )
    };
    let mut params = CertificateParams::default();
    params.distinguished_name = name;
    params.not_before = day(validity.from);
    params.not_after = day(validity.until);
    params
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority").finish_non_exhaustive()
    }
}

impl fmt::Debug for Leaf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Leaf").finish_non_exhaustive()
    }
}
