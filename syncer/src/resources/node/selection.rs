//! The nodes that a tenant's pods may use, where not all of them are.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    Node, NodeSelector, NodeSelectorRequirement, NodeSelectorTerm, PodSpec,
};
use kube::ResourceExt;

/// Has the node these labels?
pub(crate) fn has_labels(node: &Node, labels: &BTreeMap<String, String>) -> bool {
    let own = node.labels();
    labels
        .iter()
        .all(|(key, value)| own.get(key) == Some(value))
}

/// Keeps a pod off nodes without these labels, beside what it asks for itself.
pub(crate) fn require(spec: &mut PodSpec, labels: &BTreeMap<String, String>) {
    if labels.is_empty() {
        return;
    }
    let requirements = labels.iter().map(|(key, value)| NodeSelectorRequirement {
        key: key.clone(),
        operator: "In".to_owned(),
        values: Some(vec![value.clone()]),
    });
    let affinity = spec.affinity.get_or_insert_default();
    let affinity = affinity.node_affinity.get_or_insert_default();
    let required = affinity
        .required_during_scheduling_ignored_during_execution
        .get_or_insert_with(|| NodeSelector {
            node_selector_terms: Vec::new(),
        });
    let terms = &mut required.node_selector_terms;
    if terms.is_empty() {
        terms.push(NodeSelectorTerm {
            match_expressions: Some(requirements.collect()),
            match_fields: None,
        });
        return;
    }
    // Any term is enough, so every term must ask for it. An empty one matches no node and stays so.
    for term in terms.iter_mut().filter(|term| !is_empty(term)) {
        let expressions = term.match_expressions.get_or_insert_default();
        expressions.extend(requirements.clone());
    }
}

fn is_empty(term: &NodeSelectorTerm) -> bool {
    let is_none = |list: &Option<Vec<_>>| list.as_ref().is_none_or(Vec::is_empty);
    is_none(&term.match_expressions) && is_none(&term.match_fields)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::{Value, json};

    use super::*;

    fn terms(terms: &Value) -> Value {
        json!({"affinity": {"nodeAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}}})
    }

    #[rstest]
    #[case::without_wishes(
        json!({}),
        terms(&json!([{"matchExpressions": [{"key": "disk", "operator": "In", "values": ["fast"]}]}]))
    )]
    #[case::beside_its_own(
        terms(&json!([
            {"matchExpressions": [{"key": "zone", "operator": "Exists"}]},
            {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n1"]}]},
        ])),
        terms(&json!([
            {"matchExpressions": [
                {"key": "zone", "operator": "Exists"},
                {"key": "disk", "operator": "In", "values": ["fast"]},
            ]},
            {
                "matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n1"]}],
                "matchExpressions": [{"key": "disk", "operator": "In", "values": ["fast"]}],
            },
        ]))
    )]
    #[case::a_term_that_matches_nothing(terms(&json!([{}])), terms(&json!([{}])))]
    fn a_pod_is_kept_off_other_nodes(#[case] spec: Value, #[case] expected: Value) {
        let with_containers = |mut spec: Value| {
            spec["containers"] = json!([]);
            serde_json::from_value::<PodSpec>(spec).unwrap()
        };
        let mut spec = with_containers(spec);
        require(&mut spec, &[("disk".to_owned(), "fast".to_owned())].into());
        assert_eq!(spec, with_containers(expected));
    }

    #[test]
    fn a_node_needs_all_of_the_labels() {
        let mut node = Node::default();
        let mut wanted = BTreeMap::from([("disk".to_owned(), "fast".to_owned())]);
        assert!(!has_labels(&node, &wanted));
        node.labels_mut().extend(wanted.clone());
        assert!(has_labels(&node, &wanted));
        wanted.insert("zone".to_owned(), "a".to_owned());
        assert!(!has_labels(&node, &wanted));
    }
}
