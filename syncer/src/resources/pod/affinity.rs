//! Where pods want to be in relation to others: their selectors are rebuilt so that they see this
//! cluster's pods only, in the namespaces that the tenant meant.

use k8s_openapi::{
    api::core::v1::{PodAffinityTerm, PodSpec, TopologySpreadConstraint, WeightedPodAffinityTerm},
    apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement},
};

use crate::{labels, naming::NameTranslator, selector};

/// Translates all terms of a pod in the virtual `namespace`.
pub(super) fn to_host(spec: &mut PodSpec, namespace: &str, names: &NameTranslator) {
    if let Some(affinity) = &mut spec.affinity {
        let near = affinity.pod_affinity.iter_mut().flat_map(|affinity| {
            terms(
                &mut affinity.preferred_during_scheduling_ignored_during_execution,
                &mut affinity.required_during_scheduling_ignored_during_execution,
            )
        });
        let far = affinity.pod_anti_affinity.iter_mut().flat_map(|affinity| {
            terms(
                &mut affinity.preferred_during_scheduling_ignored_during_execution,
                &mut affinity.required_during_scheduling_ignored_during_execution,
            )
        });
        for term in near.chain(far) {
            *term = term_to_host(term, namespace, names);
        }
    }
    for constraint in spec.topology_spread_constraints.iter_mut().flatten() {
        spread_to_host(constraint, namespace, names);
    }
}

fn terms<'a>(
    preferred: &'a mut Option<Vec<WeightedPodAffinityTerm>>,
    required: &'a mut Option<Vec<PodAffinityTerm>>,
) -> impl Iterator<Item = &'a mut PodAffinityTerm> {
    let preferred = preferred.iter_mut().flatten();
    preferred
        .map(|weighted| &mut weighted.pod_affinity_term)
        .chain(required.iter_mut().flatten())
}

fn term_to_host(
    term: &PodAffinityTerm,
    namespace: &str,
    names: &NameTranslator,
) -> PodAffinityTerm {
    let label_selector = term.label_selector.as_ref().map(|selector| {
        let mut host = selector::translate(selector, names);
        match (term.namespaces.as_deref(), &term.namespace_selector) {
            // An empty selector means every namespace.
            (_, Some(every)) if is_empty(every) => {}
            (Some(listed @ [_, ..]), _) => require(&mut host, namespace_in(listed)),
            (_, Some(by_label)) => selector::add_namespaces(&mut host, by_label, names),
            _ => require(&mut host, namespace_in(&[namespace.to_owned()])),
        }
        host.match_labels
            .get_or_insert_default()
            .insert(labels::MANAGED_BY.to_owned(), names.managed_by().to_owned());
        host
    });
    // The virtual API server has merged `matchLabelKeys` into the selector already.
    PodAffinityTerm {
        label_selector,
        topology_key: term.topology_key.clone(),
        ..PodAffinityTerm::default()
    }
}

fn spread_to_host(
    constraint: &mut TopologySpreadConstraint,
    namespace: &str,
    names: &NameTranslator,
) {
    if let Some(selector) = &constraint.label_selector {
        constraint.label_selector = Some(selector::to_host(selector, names, namespace));
    }
    for key in constraint.match_label_keys.iter_mut().flatten() {
        *key = names.label_key(key);
    }
}

fn is_empty(selector: &LabelSelector) -> bool {
    selector
        .match_labels
        .as_ref()
        .is_none_or(std::collections::BTreeMap::is_empty)
        && selector
            .match_expressions
            .as_ref()
            .is_none_or(Vec::is_empty)
}

fn namespace_in(namespaces: &[String]) -> LabelSelectorRequirement {
    LabelSelectorRequirement {
        key: labels::NAMESPACE.to_owned(),
        operator: "In".to_owned(),
        values: Some(namespaces.to_vec()),
    }
}

fn require(selector: &mut LabelSelector, requirement: LabelSelectorRequirement) {
    selector
        .match_expressions
        .get_or_insert_default()
        .push(requirement);
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::{Value, json};

    use super::*;
    use crate::resource::tests::names;

    const MANAGED: &str = labels::MANAGED_BY;

    fn in_namespaces(namespaces: &[&str]) -> Value {
        json!({"key": labels::NAMESPACE, "operator": "In", "values": namespaces})
    }

    #[rstest]
    #[case::its_own_namespace(
        json!({"labelSelector": {"matchLabels": {"app": "web"}}}),
        json!({"matchLabels": {"app": "web", MANAGED: "test"}, "matchExpressions": [in_namespaces(&["default"])]})
    )]
    #[case::listed_namespaces(
        json!({"labelSelector": {"matchLabels": {"app": "web"}}, "namespaces": ["a", "b"]}),
        json!({"matchLabels": {"app": "web", MANAGED: "test"}, "matchExpressions": [in_namespaces(&["a", "b"])]})
    )]
    #[case::every_namespace(
        json!({"labelSelector": {"matchLabels": {"app": "web"}}, "namespaces": ["a"], "namespaceSelector": {}}),
        json!({"matchLabels": {"app": "web", MANAGED: "test"}})
    )]
    fn terms_see_this_clusters_pods_only(#[case] mut term: Value, #[case] expected: Value) {
        term["topologyKey"] = json!("zone");
        let term: PodAffinityTerm = serde_json::from_value(term).unwrap();
        let host = term_to_host(&term, "default", &names());
        assert_eq!(serde_json::to_value(host.label_selector).unwrap(), expected);
        assert_eq!(host.namespaces, None);
        assert_eq!(host.namespace_selector, None);
        assert_eq!(host.topology_key, "zone");
    }

    #[test]
    fn labels_of_namespaces_are_merged_in() {
        let term = json!({
            "topologyKey": "zone",
            "labelSelector": {"matchLabels": {"app": "web"}},
            "namespaceSelector": {"matchLabels": {"team": "a"}},
        });
        let term: PodAffinityTerm = serde_json::from_value(term).unwrap();
        let labels = term_to_host(&term, "default", &names())
            .label_selector
            .unwrap()
            .match_labels
            .unwrap();
        assert_eq!(labels["app"], "web");
        assert_eq!(labels[&names().namespace_label_key("team")], "a");
    }

    #[test]
    fn no_selector_still_matches_nothing() {
        let term = PodAffinityTerm {
            topology_key: "zone".to_owned(),
            ..PodAffinityTerm::default()
        };
        assert_eq!(
            term_to_host(&term, "default", &names()).label_selector,
            None
        );
    }

    #[test]
    fn every_kind_of_term_is_reached() {
        let term = json!({"topologyKey": "zone", "labelSelector": {}});
        let both = json!({
            "requiredDuringSchedulingIgnoredDuringExecution": [term],
            "preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 1, "podAffinityTerm": term}],
        });
        let mut spec: PodSpec = serde_json::from_value(json!({
            "containers": [],
            "affinity": {"podAffinity": both, "podAntiAffinity": both},
            "topologySpreadConstraints": [
                {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule", "labelSelector": {}},
            ],
        }))
        .unwrap();
        to_host(&mut spec, "default", &names());
        let text = serde_json::to_string(&spec).unwrap();
        assert_eq!(text.matches(MANAGED).count(), 5);
    }
}
