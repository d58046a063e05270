//! Which host objects are this cluster's own. A name or a label alone proves nothing; the marks
//! that the syncer leaves must agree with each other and with the name.

use k8s_openapi::NamespaceResourceScope;
use kube::{Resource, ResourceExt};

use crate::{
    labels,
    metadata::{self, Identity},
    naming::NameTranslator,
};

/// The virtual object that the host object `object` stands for; none if it is not ours.
pub(super) fn of<K>(object: &K, names: &NameTranslator) -> Option<Identity>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
{
    let identity = metadata::identity(object, names)?;
    let is_ours = metadata::is_marked(object, names)
        && identity.key.namespace.is_some()
        && object.labels().get(labels::NAMESPACE) == identity.key.namespace.as_ref();
    is_ours.then_some(identity)
}

#[cfg(test)]
pub(super) mod tests {
    use k8s_openapi::{api::core::v1::Pod, apimachinery::pkg::apis::meta::v1::ObjectMeta};
    use rstest::rstest;

    use super::*;
    use crate::ObjectKey;

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

    fn pod(metadata: ObjectMeta) -> Pod {
        Pod {
            metadata,
            ..Pod::default()
        }
    }

    #[test]
    fn what_the_syncer_made_is_ours() {
        let expected = Identity {
            key: ObjectKey::namespaced("default", "web"),
            uid: "uid-of-web".to_owned(),
        };
        assert_eq!(of(&pod(meta("web")), &names()), Some(expected));
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
        assert_eq!(of(&pod(meta), &names()), None);
    }

    fn put(map: &mut Option<std::collections::BTreeMap<String, String>>, key: &str, value: &str) {
        map.get_or_insert_default()
            .insert(key.to_owned(), value.to_owned());
    }
}
