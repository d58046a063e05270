//! Service-account tokens of a pod: which it asks for, and where on the host they are kept. Minting
//! them is the work of [`crate::token`].

use k8s_openapi::api::core::v1::{Pod, ServiceAccountTokenProjection};

use crate::naming::{NameTranslator, safe_concat};

/// One token that a pod asks for.
#[derive(Debug, Clone, PartialEq)]
pub struct TokenRequest {
    /// Its key in the host secret.
    pub key: String,
    /// For whom; none for the API server.
    pub audience: Option<String>,
    /// For how long, in seconds.
    pub expiration_seconds: i64,
}

/// The usual life of a token.
const HOUR: i64 = 3600;

/// The tokens that `pod` asks for.
pub fn requests(pod: &Pod) -> Vec<TokenRequest> {
    let volumes = pod
        .spec
        .iter()
        .flat_map(|spec| spec.volumes.iter().flatten());
    volumes
        .flat_map(|volume| {
            let sources = volume
                .projected
                .iter()
                .flat_map(|projected| projected.sources.iter().flatten());
            sources
                .enumerate()
                .filter_map(|(index, source)| Some((index, source.service_account_token.as_ref()?)))
                .map(|(index, token)| request(key(&volume.name, index), token))
        })
        .collect()
}

fn request(key: String, token: &ServiceAccountTokenProjection) -> TokenRequest {
    TokenRequest {
        key,
        audience: token
            .audience
            .clone()
            .filter(|audience| !audience.is_empty()),
        expiration_seconds: token.expiration_seconds.unwrap_or(HOUR),
    }
}

/// The account that `pod` runs under in the virtual cluster.
pub fn account(pod: &Pod) -> &str {
    pod.spec
        .as_ref()
        .and_then(|spec| spec.service_account_name.as_deref())
        .filter(|name| !name.is_empty())
        .unwrap_or("default")
}

/// The key of a token, by its place in the pod.
pub(super) fn key(volume: &str, index: usize) -> String {
    format!("{volume}-{index}")
}

/// The host secret with the tokens of the pod with this uid. By uid, since tokens die with the pod
/// and a pod of the same name gets its own.
pub fn secret_name(pod_uid: &str, names: &NameTranslator) -> String {
    safe_concat(&["sa-token", pod_uid, "x", names.cluster()])
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_source_has_its_own_key() {
        let pod: Pod = serde_json::from_value(json!({"spec": {"containers": [], "volumes": [
            {"name": "a", "projected": {"sources": [
                {"serviceAccountToken": {"path": "x", "audience": "vault"}},
                {"configMap": {"name": "c"}},
                {"serviceAccountToken": {"path": "y", "expirationSeconds": 600}},
            ]}},
            {"name": "b", "emptyDir": {}},
        ]}}))
        .unwrap();
        let expected = [
            TokenRequest {
                key: "a-0".to_owned(),
                audience: Some("vault".to_owned()),
                expiration_seconds: 3600,
            },
            TokenRequest {
                key: "a-2".to_owned(),
                audience: None,
                expiration_seconds: 600,
            },
        ];
        assert_eq!(requests(&pod), expected);
        assert_eq!(account(&pod), "default");
    }
}
