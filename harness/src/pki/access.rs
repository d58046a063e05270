//! What a client needs to get in: an authority to trust, a certificate and a key.

use std::{collections::BTreeMap, fmt};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use k8s_openapi::{ByteString, api::core::v1::Secret};
use kube::config::{
    AuthInfo, Cluster, Context, Kubeconfig, NamedAuthInfo, NamedCluster, NamedContext,
};

use super::ServerNames;

const AUTHORITY: &str = "certificate-authority";
const CERTIFICATE: &str = "client-certificate";
const KEY: &str = "client-key";

/// A client's way into a virtual cluster, without an address. PEM throughout.
#[derive(Clone)]
pub struct Access {
    pub(super) authority: String,
    pub(super) certificate: String,
    pub(super) key: String,
}

/// A Secret that does not hold a client's credentials.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("secret {namespace}/{name} has no text under `{key}`")]
pub struct SecretError {
    /// The namespace of the secret.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// The key without a usable value.
    pub key: &'static str,
}

impl Access {
    /// A kubeconfig for `server`, whose certificate is checked against a name that it always has.
    /// Cluster, user and context are all called `name`.
    pub fn kubeconfig(&self, name: &str, server: &str) -> Kubeconfig {
        Kubeconfig {
            kind: Some("Config".to_owned()),
            api_version: Some("v1".to_owned()),
            clusters: vec![NamedCluster {
                name: name.to_owned(),
                cluster: Some(Cluster {
                    server: Some(server.to_owned()),
                    certificate_authority_data: Some(BASE64_STANDARD.encode(&self.authority)),
                    tls_server_name: Some(ServerNames::TLS_NAME.to_owned()),
                    ..Cluster::default()
                }),
                ..NamedCluster::default()
            }],
            auth_infos: vec![NamedAuthInfo {
                name: name.to_owned(),
                auth_info: Some(AuthInfo {
                    client_certificate_data: Some(BASE64_STANDARD.encode(&self.certificate)),
                    client_key_data: Some(BASE64_STANDARD.encode(&self.key).into()),
                    ..AuthInfo::default()
                }),
                ..NamedAuthInfo::default()
            }],
            contexts: vec![NamedContext {
                name: name.to_owned(),
                context: Some(Context {
                    cluster: name.to_owned(),
                    user: Some(name.to_owned()),
                    ..Context::default()
                }),
                ..NamedContext::default()
            }],
            current_context: Some(name.to_owned()),
            ..Kubeconfig::default()
        }
    }

    /// The entries of the kubeconfig Secret that other programs may read, less `config`.
    pub fn secret_data(&self) -> BTreeMap<String, ByteString> {
        [
            (AUTHORITY, &self.authority),
            (CERTIFICATE, &self.certificate),
            (KEY, &self.key),
        ]
        .into_iter()
        .map(|(key, pem)| (key.to_owned(), ByteString(pem.clone().into_bytes())))
        .collect()
    }

    /// Reads what [`Access::secret_data`] wrote.
    ///
    /// # Errors
    /// An entry is missing or not text.
    pub fn from_secret(secret: &Secret) -> Result<Self, SecretError> {
        let read = |key| text(secret, key);
        Ok(Self {
            authority: read(AUTHORITY)?,
            certificate: read(CERTIFICATE)?,
            key: read(KEY)?,
        })
    }
}

/// The text that a Secret has under `key`.
pub(super) fn text(secret: &Secret, key: &'static str) -> Result<String, SecretError> {
    secret
        .data
        .as_ref()
        .and_then(|data| data.get(key))
        .and_then(|bytes| String::from_utf8(bytes.0.clone()).ok())
        .filter(|text| !text.is_empty())
        .ok_or_else(|| SecretError {
            namespace: secret.metadata.namespace.clone().unwrap_or_default(),
            name: secret.metadata.name.clone().unwrap_or_default(),
            key,
        })
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Access").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn access() -> Access {
        Access {
            authority: "authority".to_owned(),
            certificate: "certificate".to_owned(),
            key: "the-secret-key".to_owned(),
        }
    }

    #[test]
    fn a_secret_gives_back_what_was_put_in() {
        let secret = Secret {
            data: Some(access().secret_data()),
            ..Secret::default()
        };
        let read = Access::from_secret(&secret).unwrap();
        assert_eq!(read.secret_data(), access().secret_data());
    }

    #[test]
    fn a_missing_entry_is_named() {
        let mut data = access().secret_data();
        data.remove(KEY);
        let secret = Secret {
            data: Some(data),
            ..Secret::default()
        };
        assert_eq!(Access::from_secret(&secret).unwrap_err().key, KEY);
    }

    #[test]
    fn keys_do_not_show_in_debug() {
        let kubeconfig = access().kubeconfig("web", "https://127.0.0.1:1");
        let encoded = BASE64_STANDARD.encode("the-secret-key");
        for text in [format!("{:?}", access()), format!("{kubeconfig:?}")] {
            assert!(!text.contains("the-secret-key") && !text.contains(&encoded));
        }
    }
}
