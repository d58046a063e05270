//! What must hold of everything that others write: annotations, configuration, requests to the relay, and
//! what lies in a store. Property tests, fuzzers and the test of their seeds call the same functions; one
//! that panics has found something.

use std::sync::Arc;

use k8s_openapi::{
    api::{
        core::v1::{ConfigMap, Pod},
        networking::v1::Ingress,
    },
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use kube::ResourceExt;

pub use crate::relay::properties as relay;
#[cfg(feature = "program")]
pub use crate::reset::properties as store;
use crate::{
    config::{Sync, SyncConfig},
    labels, metadata,
    naming::NameTranslator,
    object_key::ObjectKey,
    resource::{ClusterFacts, ResourceSyncer, Surroundings, Translation},
    resources::{ingress::Ingresses, pod::Pods},
};

/// The keys that say what a host object stands for.
const KEYS: &[&str] = &[
    labels::OBJECT_NAME,
    labels::OBJECT_NAMESPACE,
    labels::OBJECT_UID,
    labels::OBJECT_KIND,
    labels::OBJECT_HOST_NAME,
    labels::OBJECT_HOST_NAMESPACE,
];

fn translation() -> Translation {
    let addresses = [[10, 96, 17, 1], [10, 96, 17, 10]].map(Into::into);
    let config = SyncConfig::new("test", "vcluster-test", addresses[0], addresses[1]);
    Translation {
        names: NameTranslator::new("test", "vcluster-test"),
        facts: ClusterFacts::from(&config).into(),
        around: Surroundings::default(),
    }
}

fn meta(name: &str, annotations: impl IntoIterator<Item = (String, String)>) -> ObjectMeta {
    ObjectMeta {
        name: Some(name.to_owned()),
        namespace: Some("default".to_owned()),
        uid: Some("uid".to_owned()),
        annotations: Some(annotations.into_iter().collect()),
        ..ObjectMeta::default()
    }
}

/// As a fuzzer gives it: a key, the end of the line, and the value.
///
/// # Panics
/// As [`annotation`].
pub fn annotation_line(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let (key, value) = text.split_once('\n').unwrap_or((&text, ""));
    annotation(key, value);
}

/// As a fuzzer gives it: a name, and the annotations' values, a line each.
///
/// # Panics
/// As [`identity`].
pub fn identity_lines(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let (name, values) = text.split_once('\n').unwrap_or((&text, ""));
    identity(name, values);
}

/// As a fuzzer gives it.
///
/// # Panics
/// As [`configuration`].
pub fn configuration_text(data: &[u8]) {
    configuration(&String::from_utf8_lossy(data));
}

/// Any annotation of a tenant is translated, twice in the same way, and what it names has a name. What the
/// configuration lets pass is there as well.
///
/// # Panics
/// If not.
pub fn annotation(key: &str, value: &str) {
    let metadata = meta("web", [(key.to_owned(), value.to_owned())]);
    let cx = translation();
    let pod = Pod {
        metadata: metadata.clone(),
        ..Pod::default()
    };
    let ingress = Ingress {
        metadata,
        ..Ingress::default()
    };
    assert!(Pods::to_host(&pod, &cx).is_ok(), "{key}: {value}");
    let mut open = translation();
    Arc::make_mut(&mut open.facts).sync.to_host.annotations.pass = vec!["*".to_owned()];
    let (few, all) = (Pods::to_host(&pod, &cx), Pods::to_host(&pod, &open));
    let keys = |twin: Result<Pod, _>| -> Vec<String> {
        let twin: Pod = twin.expect("annotations are no reason to refuse");
        twin.annotations().keys().cloned().collect()
    };
    let (few, all) = (keys(few), keys(all));
    assert!(few.iter().all(|key| all.contains(key)), "{key}: {value}");
    let twin = Ingresses::to_host(&ingress, &cx).expect("annotations are no reason to refuse");
    let again = Ingresses::to_host(&ingress, &cx).expect("the same as before");
    assert_eq!(twin, again, "{key}: {value}");
    let references = [Pods::references(&pod), Ingresses::references(&ingress)];
    for reference in references.into_iter().flatten() {
        assert!(!reference.key.name.is_empty(), "{key}: {value}");
    }
}

/// The annotations of a host object, one value per line, never make it another object's twin.
///
/// # Panics
/// If they do.
pub fn identity(name: &str, values: &str) {
    let names = translation().names;
    let values = KEYS.iter().zip(values.lines());
    let annotations = values.map(|(key, value)| ((*key).to_owned(), value.to_owned()));
    let mut host = ConfigMap {
        metadata: meta(name, annotations),
        ..ConfigMap::default()
    };
    host.metadata.namespace = Some(names.host_namespace().to_owned());
    if let Some(identity) = metadata::identity(&host, &names) {
        let key = ObjectKey::of(&host);
        assert_eq!(
            names.host_key(&identity.key),
            key,
            "{:?}",
            host.annotations()
        );
    }
}

/// A configuration is read or refused with words, and what is read can be written and read again. What is
/// complete stays as it is.
///
/// # Panics
/// If not.
pub fn configuration(text: &str) {
    for error in [
        SyncConfig::from_yaml(text).err(),
        Sync::from_yaml(text).err(),
    ] {
        assert!(error.is_none_or(|error| !error.to_string().is_empty()));
    }
    if let Ok(config) = SyncConfig::from_yaml(text) {
        let written = serde_yaml_ng::to_string(&config).expect("it was read from such text");
        let read = SyncConfig::from_yaml(&written).expect("what was written is read");
        assert_eq!(read, config);
        assert_eq!(config.sync.clone().completed(), config.sync);
    }
}
