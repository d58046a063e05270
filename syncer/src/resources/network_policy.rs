//! Network policies go to the host with every selector rebuilt, so that they speak of this cluster's
//! pods in the namespaces that the tenant meant.

use k8s_openapi::api::networking::v1::{NetworkPolicy, NetworkPolicyPeer};
use kube::ResourceExt;

use crate::{
    labels, metadata,
    naming::NameTranslator,
    resource::{ResourceSyncer, TranslateError, Translation},
    selector,
};

/// Syncs [`NetworkPolicy`].
#[derive(Debug)]
pub struct NetworkPolicies;

impl ResourceSyncer for NetworkPolicies {
    type Object = NetworkPolicy;

    fn to_host(object: &NetworkPolicy, cx: &Translation) -> Result<NetworkPolicy, TranslateError> {
        let namespace = object.namespace().unwrap_or_default();
        let mut spec = object.spec.clone();
        if let Some(spec) = &mut spec {
            let selected = spec.pod_selector.take().unwrap_or_default();
            spec.pod_selector = Some(selector::to_host(&selected, &cx.names, &namespace));
            let from = spec
                .ingress
                .iter_mut()
                .flatten()
                .filter_map(|rule| rule.from.as_mut());
            let to = spec
                .egress
                .iter_mut()
                .flatten()
                .filter_map(|rule| rule.to.as_mut());
            for peer in from.chain(to).flatten() {
                peer_to_host(peer, &cx.names, &namespace);
            }
        }
        Ok(NetworkPolicy {
            metadata: metadata::to_host(&object.metadata, cx)?,
            spec,
        })
    }
}

/// A peer's two selectors become one: all pods are in one namespace on the host, and carry the labels
/// of their virtual namespace.
fn peer_to_host(peer: &mut NetworkPolicyPeer, names: &NameTranslator, namespace: &str) {
    if peer.ip_block.is_some() {
        return;
    }
    let pods = peer.pod_selector.take().unwrap_or_default();
    let host = match peer.namespace_selector.take() {
        None => selector::to_host(&pods, names, namespace),
        Some(namespaces) => {
            let mut host = selector::translate(&pods, names);
            selector::add_namespaces(&mut host, &namespaces, names);
            host.match_labels
                .get_or_insert_default()
                .insert(labels::MANAGED_BY.to_owned(), names.managed_by().to_owned());
            host
        }
    };
    peer.pod_selector = Some(host);
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::{Value, json};

    use super::*;
    use crate::{metadata::tests::meta, resource::tests::translation};

    const MANAGED: &str = labels::MANAGED_BY;
    const NAMESPACE: &str = labels::NAMESPACE;
    /// Stands for the key that the namespace's label `team` has on pods.
    const TEAM: &str = "TEAM";

    fn translated(spec: Value) -> Value {
        let object = NetworkPolicy {
            metadata: meta("default", "deny"),
            spec: serde_json::from_value(spec).unwrap(),
        };
        let host = NetworkPolicies::to_host(&object, &translation()).unwrap();
        serde_json::to_value(host.spec).unwrap()
    }

    #[test]
    fn an_empty_selector_means_the_namespace() {
        let host = translated(json!({"podSelector": {}, "policyTypes": ["Ingress"]}));
        assert_eq!(
            host["podSelector"]["matchLabels"],
            json!({MANAGED: "test", NAMESPACE: "default"})
        );
        assert_eq!(host["policyTypes"], json!(["Ingress"]));
    }

    #[rstest]
    #[case::pods_here(
        json!({"podSelector": {"matchLabels": {"app": "web"}}}),
        json!({"app": "web", MANAGED: "test", NAMESPACE: "default"})
    )]
    #[case::every_namespace(json!({"namespaceSelector": {}}), json!({MANAGED: "test"}))]
    #[case::both(
        json!({"podSelector": {"matchLabels": {"app": "web"}}, "namespaceSelector": {"matchLabels": {"team": "a"}}}),
        json!({"app": "web", MANAGED: "test", TEAM: "a"})
    )]
    fn peers_are_this_clusters_pods(#[case] peer: Value, #[case] expected: Value) {
        let host = translated(
            json!({"podSelector": {}, "ingress": [{"from": [peer.clone()]}], "egress": [{"to": [peer]}]}),
        );
        let team = translation().names.namespace_label_key("team");
        let text = expected.to_string().replace(TEAM, &team);
        let expected: Value = serde_json::from_str(&text).unwrap();
        for found in [&host["ingress"][0]["from"][0], &host["egress"][0]["to"][0]] {
            assert_eq!(found["podSelector"]["matchLabels"], expected);
            assert_eq!(found.get("namespaceSelector"), None);
        }
    }

    #[test]
    fn addresses_stay_and_no_peers_stay_no_peers() {
        let block = json!({"ipBlock": {"cidr": "10.0.0.0/8"}});
        let host =
            translated(json!({"podSelector": {}, "egress": [{"to": [block]}, {"to": []}, {}]}));
        assert_eq!(host["egress"], json!([{"to": [block]}, {"to": []}, {}]));
    }
}
