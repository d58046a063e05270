//! Label selectors on the host. Every one that this syncer writes is limited to the tenant, since
//! several virtual namespaces share one host namespace.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement};

use crate::{labels, naming::NameTranslator};

/// Translates the selector of a Service. None and empty mean "no pods" there and stay as they are.
pub fn map_to_host(
    selector: Option<&BTreeMap<String, String>>,
    names: &NameTranslator,
    namespace: &str,
) -> Option<BTreeMap<String, String>> {
    let selector = selector?;
    if selector.is_empty() {
        return Some(BTreeMap::new());
    }
    let mut host = translate_map(selector, names);
    host.insert(labels::MANAGED_BY.to_owned(), names.managed_by().to_owned());
    host.insert(labels::NAMESPACE.to_owned(), namespace.to_owned());
    Some(host)
}

/// Translates a selector and limits it to `namespace` of this cluster.
pub fn to_host(selector: &LabelSelector, names: &NameTranslator, namespace: &str) -> LabelSelector {
    let mut host = translate(selector, names);
    let labels = host.match_labels.get_or_insert_default();
    labels.insert(labels::MANAGED_BY.to_owned(), names.managed_by().to_owned());
    labels.insert(labels::NAMESPACE.to_owned(), namespace.to_owned());
    host
}

/// Translates a selector of objects in no namespace and limits it to this cluster's.
pub fn cluster_scoped_to_host(selector: &LabelSelector, names: &NameTranslator) -> LabelSelector {
    let mut host = translate(selector, names);
    host.match_labels.get_or_insert_default().insert(
        labels::MANAGED_BY.to_owned(),
        names.managed_by_cluster_scoped(),
    );
    host
}

/// Translates the keys of a selector and nothing else. The caller limits it to the tenant.
pub fn translate(selector: &LabelSelector, names: &NameTranslator) -> LabelSelector {
    LabelSelector {
        match_labels: selector
            .match_labels
            .as_ref()
            .map(|map| translate_map(map, names)),
        match_expressions: selector.match_expressions.as_ref().map(|list| {
            list.iter()
                .map(|requirement| LabelSelectorRequirement {
                    key: names.label_key(&requirement.key),
                    ..requirement.clone()
                })
                .collect()
        }),
    }
}

/// Adds a selector of namespaces to one of pods: their labels are on the pods, under other keys.
pub fn add_namespaces(
    selector: &mut LabelSelector,
    namespaces: &LabelSelector,
    names: &NameTranslator,
) {
    for (key, value) in namespaces.match_labels.iter().flatten() {
        selector
            .match_labels
            .get_or_insert_default()
            .insert(names.namespace_label_key(key), value.clone());
    }
    let requirements = namespaces.match_expressions.iter().flatten();
    for requirement in requirements {
        selector
            .match_expressions
            .get_or_insert_default()
            .push(LabelSelectorRequirement {
                key: names.namespace_label_key(&requirement.key),
                ..requirement.clone()
            });
    }
}

fn translate_map(
    map: &BTreeMap<String, String>,
    names: &NameTranslator,
) -> BTreeMap<String, String> {
    map.iter()
        .map(|(key, value)| (names.label_key(key), value.clone()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resource::tests::names;

    fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs
            .iter()
            .map(|&(key, value)| (key.to_owned(), value.to_owned()))
            .collect()
    }

    #[test]
    fn no_selector_never_becomes_one() {
        assert_eq!(map_to_host(None, &names(), "default"), None);
        let empty = BTreeMap::new();
        assert_eq!(map_to_host(Some(&empty), &names(), "default"), Some(empty));
    }

    #[test]
    fn a_service_finds_only_the_tenants_pods() {
        let host = map_to_host(Some(&map(&[("app", "web")])), &names(), "default").unwrap();
        let expected = map(&[
            ("app", "web"),
            (labels::MANAGED_BY, "test"),
            (labels::NAMESPACE, "default"),
        ]);
        assert_eq!(host, expected);
    }

    #[test]
    fn a_tenant_cannot_select_the_control_plane() {
        let key = "vcluster-test.dev/control-plane";
        let host = map_to_host(Some(&map(&[(key, "test")])), &names(), "default").unwrap();
        assert!(!host.contains_key(key));
    }

    #[test]
    fn everything_means_everything_of_the_namespace() {
        let host = to_host(&LabelSelector::default(), &names(), "default");
        let expected = map(&[(labels::MANAGED_BY, "test"), (labels::NAMESPACE, "default")]);
        assert_eq!(host.match_labels, Some(expected));
    }

    #[test]
    fn expressions_are_translated_by_key() {
        let selector = LabelSelector {
            match_expressions: Some(vec![LabelSelectorRequirement {
                key: "release".to_owned(),
                operator: "Exists".to_owned(),
                values: None,
            }]),
            match_labels: None,
        };
        let host = translate(&selector, &names());
        assert_eq!(
            host.match_expressions.unwrap()[0].key,
            names().label_key("release"),
        );
    }
}
