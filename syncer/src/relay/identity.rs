//! Which host objects are this cluster's own. A name or a label alone proves nothing; the marks
//! that the syncer leaves must agree with each other and with the name.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::{ObjectKey, labels, naming::NameTranslator};

/// The virtual object that the namespaced host object `meta` stands for; none if it is not ours.
pub(super) fn virtual_key(meta: &ObjectMeta, names: &NameTranslator) -> Option<ObjectKey> {
    let label = |key| meta.labels.as_ref()?.get(key).map(String::as_str);
    let annotation = |key| meta.annotations.as_ref()?.get(key).map(String::as_str);
    // Absent on objects of older syncers; if there, it must be right.
    let agrees = |key, own: &Option<String>| {
        annotation(key).is_none_or(|value| Some(value) == own.as_deref())
    };

    let key = ObjectKey::namespaced(
        annotation(labels::OBJECT_NAMESPACE)?,
        annotation(labels::OBJECT_NAME)?,
    );
    let host = names.host_key(&key);
    let is_ours = label(labels::MANAGED_BY) == Some(names.managed_by())
        && label(labels::NAMESPACE) == key.namespace.as_deref()
        && meta.namespace == host.namespace
        && meta.name.as_ref() == Some(&host.name)
        && agrees(labels::OBJECT_HOST_NAME, &meta.name)
        && agrees(labels::OBJECT_HOST_NAMESPACE, &meta.namespace);
    is_ours.then_some(key)
}

#[cfg(test)]
pub(super) mod tests {
    use rstest::rstest;

    use super::*;

    pub(in crate::relay) fn names() -> NameTranslator {
        NameTranslator::new("test", "vc-test")
    }

    /// The metadata that the syncer gives to the twin of `default/NAME`.
    pub(in crate::relay) fn meta(name: &str) -> ObjectMeta {
        let pairs = |pairs: &[(&str, &str)]| {
            let own = |&(key, value): &(&str, &str)| (key.to_owned(), value.to_owned());
            Some(pairs.iter().map(own).collect())
        };
        ObjectMeta {
            name: Some(names().host_name(name, "default")),
            namespace: Some("vc-test".to_owned()),
            labels: pairs(&[(labels::MANAGED_BY, "test"), (labels::NAMESPACE, "default")]),
            annotations: pairs(&[
                (labels::OBJECT_NAME, name),
                (labels::OBJECT_NAMESPACE, "default"),
                (labels::OBJECT_UID, &format!("uid-of-{name}")),
            ]),
            ..ObjectMeta::default()
        }
    }

    #[test]
    fn what_the_syncer_made_is_ours() {
        let expected = ObjectKey::namespaced("default", "web");
        assert_eq!(virtual_key(&meta("web"), &names()), Some(expected));
    }

    #[rstest]
    #[case::of_another_cluster(|meta: &mut ObjectMeta| put(&mut meta.labels, labels::MANAGED_BY, "other"))]
    #[case::in_another_namespace(|meta: &mut ObjectMeta| meta.namespace = Some("kube-system".to_owned()))]
    #[case::called_otherwise(|meta: &mut ObjectMeta| meta.name = Some("web-x-default-x-other".to_owned()))]
    #[case::without_labels(|meta: &mut ObjectMeta| meta.labels = None)]
    #[case::without_annotations(|meta: &mut ObjectMeta| meta.annotations = None)]
    #[case::with_another_twin(|meta: &mut ObjectMeta| put(&mut meta.annotations, labels::OBJECT_NAME, "db"))]
    #[case::with_another_label(|meta: &mut ObjectMeta| put(&mut meta.labels, labels::NAMESPACE, "kube-system"))]
    #[case::copied(|meta: &mut ObjectMeta| put(&mut meta.annotations, labels::OBJECT_HOST_NAME, "elsewhere"))]
    fn anything_that_does_not_add_up_is_foreign(#[case] spoil: fn(&mut ObjectMeta)) {
        let mut meta = meta("web");
        spoil(&mut meta);
        assert_eq!(virtual_key(&meta, &names()), None);
    }

    fn put(map: &mut Option<std::collections::BTreeMap<String, String>>, key: &str, value: &str) {
        map.get_or_insert_default()
            .insert(key.to_owned(), value.to_owned());
    }
}
