//! The taints of a virtual node.

use k8s_openapi::api::core::v1::{Node, Taint, Toleration};
use kube::ResourceExt;

use crate::{config, labels};

/// Those of the host's that the tenant sees: not those that all its pods tolerate anyway.
pub(super) fn shown(mut taints: Vec<Taint>, sync: &config::Sync) -> Vec<Taint> {
    let enforced = sync.to_host.pods.enforced_tolerations();
    taints.retain(|taint| {
        sync.from_host.nodes.shows_taint(&taint.key)
            && !enforced
                .iter()
                .any(|toleration| tolerates(toleration, taint))
    });
    taints
}

/// What says of a node's health only the host knows; the API server adds some of it to a new node.
const OF_HEALTH: &str = "node.kubernetes.io/";

/// Adds the tenant's own taints of the node `shown` to those of `node`, which are the host's, and
/// notes which were: what the host takes away must not be taken for the tenant's.
pub(crate) fn with_tenants(node: &mut Node, shown: Option<&Node>) {
    let spec = node.spec.get_or_insert_default();
    let taints = spec.taints.get_or_insert_default();
    // Types of the Kubernetes API always have a JSON form.
    let hosts = serde_json::to_string(taints).unwrap_or_default();
    let noted = shown.and_then(|node| node.annotations().get(labels::ORIGINAL_TAINTS));
    let noted: Vec<Taint> = noted
        .and_then(|text| serde_json::from_str(text).ok())
        .unwrap_or_default();
    let there = shown.and_then(|node| node.spec.as_ref()?.taints.as_ref());
    for taint in there.into_iter().flatten() {
        let is_same = |other: &Taint| (&other.key, &other.effect) == (&taint.key, &taint.effect);
        let is_hosts = taints.iter().any(is_same) || noted.iter().any(is_same);
        if !is_hosts && !taint.key.starts_with(OF_HEALTH) {
            taints.push(taint.clone());
        }
    }
    node.annotations_mut()
        .insert(labels::ORIGINAL_TAINTS.to_owned(), hosts);
}

/// As the scheduler judges.
fn tolerates(toleration: &Toleration, taint: &Taint) -> bool {
    let is_unset = |text: &Option<String>| text.as_deref().is_none_or(str::is_empty);
    let value = |text: &Option<String>| text.clone().unwrap_or_default();
    let has_effect =
        is_unset(&toleration.effect) || toleration.effect.as_deref() == Some(&taint.effect);
    let has_key = is_unset(&toleration.key) || toleration.key.as_deref() == Some(&taint.key);
    let has_value = match toleration.operator.as_deref() {
        Some("Exists") => true,
        None | Some("" | "Equal") => value(&toleration.value) == value(&taint.value),
        Some(_) => false,
    };
    has_effect && has_key && has_value
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::{Value, json};

    use super::*;
    use crate::config::Sync;

    fn taint(key: &str, value: &str, effect: &str) -> Taint {
        Taint {
            key: key.to_owned(),
            value: Some(value.to_owned()),
            effect: effect.to_owned(),
            time_added: None,
        }
    }

    #[rstest]
    #[case::usually_all(json!({}), &["gpu", "team"])]
    #[case::by_their_keys(json!({"fromHost": {"nodes": {"showTaints": ["te*"]}}}), &["team"])]
    #[case::none(json!({"fromHost": {"nodes": {"showTaints": []}}}), &[])]
    #[case::what_is_tolerated_by_all(
        json!({"toHost": {"pods": {"enforceTolerations": ["gpu=yes:NoSchedule"]}}}),
        &["team"]
    )]
    fn taints_are_shown_as_wished(#[case] sync: Value, #[case] expected: &[&str]) {
        let sync = Sync::from_yaml(&json!({ "sync": sync }).to_string()).unwrap();
        let taints = vec![
            taint("gpu", "yes", "NoSchedule"),
            taint("team", "red", "NoExecute"),
        ];
        let shown = shown(taints, &sync);
        let shown: Vec<_> = shown.iter().map(|taint| taint.key.as_str()).collect();
        assert_eq!(shown, expected);
    }

    #[rstest]
    #[case::a_new_node(&["gpu"], &["node.kubernetes.io/not-ready"], &[], &["gpu"])]
    #[case::the_tenants_stay(&["gpu"], &["gpu", "mine"], &["gpu"], &["gpu", "mine"])]
    #[case::the_host_adds(&["gpu", "new"], &["gpu", "mine"], &["gpu"], &["gpu", "new", "mine"])]
    #[case::the_host_takes_away(&[], &["gpu", "mine"], &["gpu"], &["mine"])]
    #[case::the_tenant_takes_away(&["gpu"], &["gpu"], &["gpu"], &["gpu"])]
    #[case::the_tenant_takes_the_hosts_away(&["gpu"], &[], &["gpu"], &["gpu"])]
    fn taints_are_of_both(
        #[case] hosts: &[&str],
        #[case] shown: &[&str],
        #[case] noted: &[&str],
        #[case] expected: &[&str],
    ) {
        let node = |keys: &[&str], effect: &str| {
            let taints = keys.iter().map(|key| taint(key, effect, "NoSchedule"));
            let mut node = Node::default();
            node.spec.get_or_insert_default().taints = Some(taints.collect());
            node
        };
        let mut there = node(shown, "there");
        let was = node(noted, "host").spec.unwrap().taints;
        there.annotations_mut().insert(
            labels::ORIGINAL_TAINTS.to_owned(),
            serde_json::to_string(&was).unwrap(),
        );
        let mut wanted = node(hosts, "host");
        with_tenants(&mut wanted, Some(&there));
        let taints = wanted.spec.as_ref().unwrap().taints.as_ref().unwrap();
        let found: Vec<_> = taints.iter().map(|taint| taint.key.as_str()).collect();
        assert_eq!(found, expected);
        let value = |key: &str| {
            taints
                .iter()
                .find(|it| it.key == key)
                .unwrap()
                .value
                .clone()
        };
        for key in hosts {
            assert_eq!(value(key).as_deref(), Some("host"));
        }
        // Twice is the same as once.
        let mut again = node(hosts, "host");
        with_tenants(&mut again, Some(&wanted));
        assert_eq!(again, wanted);
    }

    #[rstest]
    #[case::everything(json!({"operator": "Exists"}), true)]
    #[case::the_key(json!({"key": "gpu", "operator": "Exists"}), true)]
    #[case::the_value(json!({"key": "gpu", "operator": "Equal", "value": "yes"}), true)]
    #[case::without_an_operator(json!({"key": "gpu", "value": "yes"}), true)]
    #[case::the_effect(json!({"key": "gpu", "operator": "Exists", "effect": "NoSchedule"}), true)]
    #[case::another_key(json!({"key": "team", "operator": "Exists"}), false)]
    #[case::another_value(json!({"key": "gpu", "value": "no"}), false)]
    #[case::no_value(json!({"key": "gpu"}), false)]
    #[case::another_effect(json!({"operator": "Exists", "effect": "NoExecute"}), false)]
    fn a_toleration_is_for_some_taints(#[case] toleration: Value, #[case] expected: bool) {
        let toleration = serde_json::from_value(toleration).unwrap();
        let taint = taint("gpu", "yes", "NoSchedule");
        assert_eq!(tolerates(&toleration, &taint), expected);
    }
}
