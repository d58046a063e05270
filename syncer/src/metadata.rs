//! Metadata of host objects: what crosses from the virtual object, and how the way back is found.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::{Resource, ResourceExt};
use serde_json::{Value, json};

use crate::{
    addons, labels,
    naming::NameTranslator,
    object_key::ObjectKey,
    resource::{TranslateError, Translation},
};

/// The virtual object that a host object stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Its key in the virtual cluster.
    pub key: ObjectKey,
    /// Its uid there.
    pub uid: String,
}

/// Annotations that say something about one copy of an object only.
const PRIVATE: &[&str] = &[
    "kubectl.kubernetes.io/last-applied-configuration",
    labels::OBJECT_NAME,
    labels::OBJECT_NAMESPACE,
    labels::OBJECT_UID,
    labels::OBJECT_KIND,
    labels::OBJECT_HOST_NAME,
    labels::OBJECT_HOST_NAMESPACE,
    labels::APPLIED,
];

/// The metadata of the host twin: translated name, labels and annotations, and the twin's identity.
/// Owners, finalizers, everything the server fills in, and what would give the tenant more than its own
/// stay behind.
pub fn to_host(virtual_meta: &ObjectMeta, cx: &Translation) -> Result<ObjectMeta, TranslateError> {
    let names = &cx.names;
    let name = virtual_meta.name.clone().ok_or(TranslateError::Nameless)?;
    let key = ObjectKey {
        namespace: virtual_meta.namespace.clone(),
        name,
    };
    let host = names.host_key(&key);
    let mut annotations: BTreeMap<_, _> = virtual_meta
        .annotations
        .iter()
        .flatten()
        .filter(|(key, value)| {
            !PRIVATE.contains(&key.as_str())
                && addons::passes_annotation(key, value, &cx.facts.sync.to_host)
        })
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    let mut note = |key: &str, value: &str| annotations.insert(key.to_owned(), value.to_owned());
    note(labels::OBJECT_NAME, &key.name);
    note(labels::OBJECT_HOST_NAME, &host.name);
    if let Some(uid) = &virtual_meta.uid {
        note(labels::OBJECT_UID, uid);
    }
    if let Some(namespace) = &key.namespace {
        note(labels::OBJECT_NAMESPACE, namespace);
    }
    if let Some(namespace) = &host.namespace {
        note(labels::OBJECT_HOST_NAMESPACE, namespace);
    }
    Ok(ObjectMeta {
        name: Some(host.name),
        namespace: host.namespace,
        labels: Some(host_labels(virtual_meta, cx)),
        annotations: Some(annotations),
        ..ObjectMeta::default()
    })
}

/// As [`to_host`], for an object in no namespace: it has an owner on the host, so that it ends with the
/// cluster.
pub fn owned_to_host(
    virtual_meta: &ObjectMeta,
    cx: &Translation,
) -> Result<ObjectMeta, TranslateError> {
    let owner = cx.facts.owner.clone().ok_or(TranslateError::Ownerless)?;
    Ok(ObjectMeta {
        owner_references: Some(vec![owner]),
        ..to_host(virtual_meta, cx)?
    })
}

/// The metadata of the virtual object that shows `host`.
#[must_use]
pub fn mirrored(host: &ObjectMeta) -> ObjectMeta {
    let mut annotations = host.annotations.clone().unwrap_or_default();
    annotations.retain(|key, _| !PRIVATE.contains(&key.as_str()));
    let mut object_labels = host.labels.clone().unwrap_or_default();
    object_labels.insert(labels::MIRRORED.to_owned(), "true".to_owned());
    ObjectMeta {
        name: host.name.clone(),
        labels: Some(object_labels),
        annotations: Some(annotations),
        ..ObjectMeta::default()
    }
}

/// Was this virtual object brought from the host?
pub fn is_mirrored<K: Resource>(object: &K) -> bool {
    object.labels().contains_key(labels::MIRRORED)
}

/// As [`to_host`], without the annotations `excluded`.
pub fn to_host_without(
    virtual_meta: &ObjectMeta,
    cx: &Translation,
    excluded: &[&str],
) -> Result<ObjectMeta, TranslateError> {
    let mut meta = to_host(virtual_meta, cx)?;
    if let Some(annotations) = &mut meta.annotations {
        annotations.retain(|key, _| !excluded.contains(&key.as_str()));
    }
    Ok(meta)
}

/// The labels of the host twin: those of the virtual object that pass, and the two that mark it as ours.
fn host_labels(virtual_meta: &ObjectMeta, cx: &Translation) -> BTreeMap<String, String> {
    let mut host: BTreeMap<_, _> = virtual_meta
        .labels
        .iter()
        .flatten()
        .filter(|(key, _)| addons::passes_label(key, &cx.facts.sync.to_host))
        .map(|(key, value)| (cx.names.label_key(key), value.clone()))
        .collect();
    host.extend(our_labels(virtual_meta, &cx.names));
    host
}

/// The labels by which the twins of this cluster's objects, and of a namespace's, are found.
fn our_labels(virtual_meta: &ObjectMeta, names: &NameTranslator) -> BTreeMap<String, String> {
    let mut ours = BTreeMap::from([(
        labels::MANAGED_BY.to_owned(),
        managed_by(virtual_meta, names),
    )]);
    if let Some(namespace) = &virtual_meta.namespace {
        ours.insert(labels::NAMESPACE.to_owned(), namespace.clone());
    }
    ours
}

/// The virtual object that `host` says it stands for, if it is one of this cluster's and nobody
/// copied the annotations from elsewhere.
pub fn identity<K: Resource<DynamicType = ()>>(
    host: &K,
    names: &NameTranslator,
) -> Option<Identity> {
    let annotations = host.annotations();
    let key = ObjectKey {
        namespace: annotations.get(labels::OBJECT_NAMESPACE).cloned(),
        name: annotations.get(labels::OBJECT_NAME)?.clone(),
    };
    let is_unless_other = |annotation: &str, value: &str| {
        annotations
            .get(annotation)
            .is_none_or(|found| found == value)
    };
    let is_ours = names.host_key(&key) == ObjectKey::of(host)
        && is_unless_other(labels::OBJECT_KIND, &kind_of::<K>())
        && is_unless_other(labels::OBJECT_HOST_NAME, &host.name_any());
    is_ours.then(|| Identity {
        uid: annotations
            .get(labels::OBJECT_UID)
            .cloned()
            .unwrap_or_default(),
        key,
    })
}

/// Does a host object carry the label by which this cluster's objects are found?
pub fn is_marked<K: Resource>(host: &K, names: &NameTranslator) -> bool {
    host.labels().get(labels::MANAGED_BY) == Some(&managed_by(host.meta(), names))
}

/// The merge patch that marks the twin of `key` as this cluster's again.
pub fn marks(key: &ObjectKey, uid: Option<&str>, names: &NameTranslator) -> Value {
    let virtual_meta = ObjectMeta {
        namespace: key.namespace.clone(),
        ..ObjectMeta::default()
    };
    json!({"metadata": {"uid": uid, "labels": our_labels(&virtual_meta, names)}})
}

fn managed_by(meta: &ObjectMeta, names: &NameTranslator) -> String {
    match meta.namespace {
        Some(_) => names.managed_by().to_owned(),
        None => names.managed_by_cluster_scoped(),
    }
}

/// What the kind annotation says about objects of type `K`.
pub fn kind_of<K: Resource<DynamicType = ()>>() -> String {
    format!("{}, Kind={}", K::api_version(&()), K::kind(&()))
}

/// Is somebody else in charge of this object?
pub fn is_controlled_elsewhere<K: Resource>(object: &K) -> bool {
    object.labels().contains_key(labels::CONTROLLED_BY)
}

#[cfg(test)]
pub(crate) mod tests {
    use k8s_openapi::api::core::v1::{ConfigMap, Secret};

    use super::*;
    use crate::resource::tests::{names, translation};

    /// The metadata of a virtual object, as the API server would return it.
    pub(crate) fn meta(namespace: &str, name: &str) -> ObjectMeta {
        ObjectMeta {
            name: Some(name.to_owned()),
            namespace: Some(namespace.to_owned()),
            uid: Some(format!("uid-of-{name}")),
            resource_version: Some("7".to_owned()),
            ..ObjectMeta::default()
        }
    }

    fn twin(virtual_meta: &ObjectMeta) -> ConfigMap {
        ConfigMap {
            metadata: to_host(virtual_meta, &translation()).unwrap(),
            ..ConfigMap::default()
        }
    }

    #[test]
    fn the_way_back_is_found() {
        let host = twin(&meta("default", "web"));
        let expected = Identity {
            key: ObjectKey::namespaced("default", "web"),
            uid: "uid-of-web".to_owned(),
        };
        assert_eq!(identity(&host, &names()), Some(expected));
    }

    #[test]
    fn copied_annotations_prove_nothing() {
        let host = twin(&meta("default", "web"));
        let mut elsewhere = host.clone();
        elsewhere.metadata.name = Some("copy".to_owned());
        assert_eq!(identity(&elsewhere, &names()), None);

        let mut mirrored = host;
        mirrored
            .annotations_mut()
            .insert(labels::OBJECT_KIND.to_owned(), kind_of::<Secret>());
        assert_eq!(identity(&mirrored, &names()), None);
    }

    #[test]
    fn an_object_that_lost_its_label_gets_it_back() {
        let mut host = twin(&meta("default", "web"));
        assert!(is_marked(&host, &names()));
        host.labels_mut().remove(labels::MANAGED_BY);
        assert!(!is_marked(&host, &names()));
        let patch = marks(
            &ObjectKey::namespaced("default", "web"),
            Some("uid"),
            &names(),
        );
        assert_eq!(patch["metadata"]["labels"][labels::MANAGED_BY], "test");
    }

    #[test]
    fn labels_cross_and_the_marks_cannot_be_forged() {
        let mut source = meta("default", "web");
        source.labels = Some(
            [
                ("app".to_owned(), "web".to_owned()),
                (labels::MANAGED_BY.to_owned(), "someone".to_owned()),
            ]
            .into(),
        );
        let host = twin(&source);
        assert_eq!(host.labels()["app"], "web");
        assert_eq!(host.labels()[labels::MANAGED_BY], "test");
        assert_eq!(host.labels()[labels::NAMESPACE], "default");
        assert_eq!(
            host.labels()[&names().label_key(labels::MANAGED_BY)],
            "someone"
        );
    }

    #[test]
    fn owners_finalizers_and_server_fields_stay_behind() {
        let mut source = meta("default", "web");
        source.finalizers = Some(vec!["a".to_owned()]);
        source.owner_references = Some(Vec::new());
        source.generate_name = Some("we".to_owned());
        let host = twin(&source).metadata;
        assert_eq!(host.finalizers, None);
        assert_eq!(host.owner_references, None);
        assert_eq!(host.generate_name, None);
        assert_eq!(host.uid, None);
        assert_eq!(host.resource_version, None);
    }

    #[test]
    fn private_annotations_stay_behind() {
        let mut source = meta("default", "web");
        source.annotations = Some(
            [
                (PRIVATE[0].to_owned(), "{}".to_owned()),
                ("note".to_owned(), "kept".to_owned()),
                ("leader".to_owned(), "me".to_owned()),
            ]
            .into(),
        );
        let host = to_host_without(&source, &translation(), &["leader"]).unwrap();
        let annotations = host.annotations.unwrap();
        assert_eq!(annotations.get("note"), Some(&"kept".to_owned()));
        assert!(!annotations.contains_key(PRIVATE[0]));
        assert!(!annotations.contains_key("leader"));
    }
}
