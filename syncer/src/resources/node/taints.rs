//! The taints of a virtual node.

use k8s_openapi::api::core::v1::{Taint, Toleration};

use crate::config;

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
