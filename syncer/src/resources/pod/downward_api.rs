//! The downward API: what a pod is told about itself is the virtual pod, at any depth of nesting.

use std::{collections::BTreeMap, fmt::Write};

use k8s_openapi::api::core::v1::{ObjectFieldSelector, Pod};
use kube::ResourceExt;

use crate::{labels, naming::NameTranslator};

/// The annotations that the downward API of the host reads instead of the host pod's own fields.
/// What an inner cluster put there already is kept: the innermost identity counts.
pub(super) fn annotations(pod: &Pod) -> Vec<(&'static str, String)> {
    let account = pod
        .spec
        .as_ref()
        .and_then(|spec| spec.service_account_name.clone())
        .unwrap_or_default();
    [
        (labels::POD_NAME, pod.name_any()),
        (labels::POD_NAMESPACE, pod.namespace().unwrap_or_default()),
        (labels::POD_UID, pod.uid().unwrap_or_default()),
        (labels::POD_SERVICE_ACCOUNT, account),
        (labels::POD_LABELS, as_kubelet_prints(pod.labels())),
    ]
    .into_iter()
    .map(|(key, value)| match pod.annotations().get(key) {
        Some(inner) => (key, inner.clone()),
        None => (key, value),
    })
    .collect()
}

/// Translates a path that a container or volume asks for.
pub(super) fn to_host(field: &mut ObjectFieldSelector, names: &NameTranslator) {
    let annotation = match field.field_path.as_str() {
        "metadata.name" => labels::POD_NAME,
        "metadata.namespace" => labels::POD_NAMESPACE,
        "metadata.uid" => labels::POD_UID,
        "spec.serviceAccountName" => labels::POD_SERVICE_ACCOUNT,
        "metadata.labels" => labels::POD_LABELS,
        path => {
            let key = path
                .strip_prefix("metadata.labels['")
                .and_then(|rest| rest.strip_suffix("']"));
            if let Some(key) = key {
                field.field_path = format!("metadata.labels['{}']", names.label_key(key));
            }
            return;
        }
    };
    field.field_path = format!("metadata.annotations['{annotation}']");
}

/// One `key="value"` a line, sorted, with the value quoted as Go does.
fn as_kubelet_prints(map: &BTreeMap<String, String>) -> String {
    let mut text = String::new();
    for (key, value) in map {
        if !text.is_empty() {
            text.push('\n');
        }
        // Label values have no character that JSON and Go would quote in different ways.
        let quoted = serde_json::Value::from(value.as_str());
        write!(text, "{key}={quoted}").expect("writing to a string does not fail");
    }
    text
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::{metadata::tests::meta, resource::tests::names};

    #[rstest]
    #[case::name("metadata.name", "metadata.annotations['vcluster.loft.sh/name']")]
    #[case::namespace(
        "metadata.namespace",
        "metadata.annotations['vcluster.loft.sh/namespace']"
    )]
    #[case::uid("metadata.uid", "metadata.annotations['vcluster.loft.sh/uid']")]
    #[case::account(
        "spec.serviceAccountName",
        "metadata.annotations['vcluster.loft.sh/service-account-name']"
    )]
    #[case::all_labels("metadata.labels", "metadata.annotations['vcluster.loft.sh/labels']")]
    #[case::one_label("metadata.labels['app']", "metadata.labels['app']")]
    #[case::an_annotation("metadata.annotations['a']", "metadata.annotations['a']")]
    #[case::the_node("spec.nodeName", "spec.nodeName")]
    #[case::an_address("status.podIP", "status.podIP")]
    fn paths(#[case] path: &str, #[case] expected: &str) {
        let mut field = ObjectFieldSelector {
            api_version: None,
            field_path: path.to_owned(),
        };
        to_host(&mut field, &names());
        assert_eq!(field.field_path, expected);
    }

    #[test]
    fn a_reserved_label_is_found_under_its_other_key() {
        let mut field = ObjectFieldSelector {
            api_version: None,
            field_path: "metadata.labels['release']".to_owned(),
        };
        to_host(&mut field, &names());
        let key = names().label_key("release");
        assert_eq!(field.field_path, format!("metadata.labels['{key}']"));
    }

    #[test]
    fn the_innermost_identity_counts() {
        let mut pod = Pod {
            metadata: meta("default", "outer"),
            ..Pod::default()
        };
        let of = |pod: &Pod| annotations(pod).into_iter().collect::<BTreeMap<_, _>>();
        assert_eq!(of(&pod)[labels::POD_NAME], "outer");
        pod.annotations_mut()
            .insert(labels::POD_NAME.to_owned(), "inner".to_owned());
        assert_eq!(of(&pod)[labels::POD_NAME], "inner");
    }

    #[test]
    fn labels_look_as_the_kubelet_prints_them() {
        let map = [("b", "2"), ("a", "1")].map(|(key, value)| (key.to_owned(), value.to_owned()));
        assert_eq!(as_kubelet_prints(&map.into()), "a=\"1\"\nb=\"2\"");
    }
}
