//! What to do about a pair of twins: a decision, and nothing else. Carrying it out is the
//! [`controller`](crate::controller)'s work.

use std::sync::Arc;

use kube::ResourceExt;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::{
    cover, labels, metadata,
    object_key::ObjectKey,
    resource::{ResourceSyncer, Synced, TranslateError, Translation},
};

/// A virtual object and its host twin, as last seen. Either may be missing.
#[derive(Debug, Clone)]
pub struct Twins<K> {
    /// The virtual key; the host's follows from it.
    pub key: ObjectKey,
    /// The object in the virtual cluster.
    pub virtual_object: Option<Arc<K>>,
    /// Its twin on the host.
    pub host_object: Option<Arc<K>>,
}

/// One thing to do. Steps are done in order; one that fails ends the turn.
#[derive(Debug, Clone, PartialEq)]
pub enum Step<K> {
    /// Make the twin, which must not be there.
    CreateHost(Box<K>),
    /// Bring the twin with this uid into this shape.
    ApplyHost {
        /// The shape.
        object: Box<K>,
        /// Which twin.
        uid: String,
    },
    /// Bring fields of a pod that the tenant may change into this shape, and leave the rest of it.
    PatchHost {
        /// A strategic merge patch.
        patch: Value,
        /// The subresource it is for.
        subresource: Option<&'static str>,
    },
    /// Delete the twin with this uid.
    DeleteHost {
        /// Which twin.
        uid: String,
        /// How many seconds it has; none for as many as it asks for.
        grace: Option<i64>,
    },
    /// Bring the virtual object from one shape into another; both are of the same object.
    PatchVirtual {
        /// As it is.
        from: Arc<K>,
        /// As it should be.
        to: Box<K>,
    },
    /// Delete the virtual object with this uid.
    DeleteVirtual {
        /// Which object.
        uid: String,
        /// How many seconds it has.
        grace: i64,
    },
    /// Make the virtual object anew, in another shape.
    RecreateVirtual {
        /// Which object goes.
        uid: String,
        /// What comes.
        object: Box<K>,
    },
    /// Tell the virtual API server which node the host chose for a pod.
    Bind {
        /// The node.
        node: String,
        /// Which pod.
        uid: String,
    },
    /// Something else must happen first; its coming about, or this many milliseconds, wakes us.
    Await {
        /// What.
        what: &'static str,
        /// The longest wait.
        millis: u64,
    },
}

/// The usual rules.
pub fn plan<R: ResourceSyncer>(
    twins: &Twins<R::Object>,
    cx: &Translation,
) -> Result<Vec<Step<R::Object>>, TranslateError> {
    match (&twins.virtual_object, &twins.host_object) {
        (Some(object), None) => push_new::<R>(object, cx),
        (Some(object), Some(host)) => push::<R>(object, host, cx),
        (None, Some(host)) => Ok(prune(host.as_ref())),
        (None, None) => Ok(Vec::new()),
    }
}

/// A virtual object without a twin gets one, unless it is going anyway.
fn push_new<R: ResourceSyncer>(
    object: &R::Object,
    cx: &Translation,
) -> Result<Vec<Step<R::Object>>, TranslateError> {
    if is_deleting(object) || !R::selects(object, cx) {
        return Ok(Vec::new());
    }
    Ok(vec![Step::CreateHost(Box::new(stamped(R::to_host(
        object, cx,
    )?)))])
}

/// Twins are kept alike.
fn push<R: ResourceSyncer>(
    object: &Arc<R::Object>,
    host: &Arc<R::Object>,
    cx: &Translation,
) -> Result<Vec<Step<R::Object>>, TranslateError> {
    if is_deleting(host.as_ref()) {
        // The end of it wakes us, and then it is made anew.
        return Ok(Vec::new());
    }
    if !R::selects(object, cx) || (R::is_bound_to_uid() && !is_twin(object.as_ref(), host.as_ref()))
    {
        return Ok(prune(host.as_ref()));
    }
    let mut steps = Vec::new();
    if !is_deleting(object.as_ref()) {
        let wanted = stamped(R::to_host(object, cx)?);
        if differs(host.as_ref(), &wanted) {
            steps.push(Step::ApplyHost {
                object: Box::new(wanted),
                uid: host.uid().unwrap_or_default(),
            });
        }
    }
    if let Some(to) = R::to_virtual(host, object, cx).filter(|to| to != object.as_ref()) {
        steps.push(Step::PatchVirtual {
            from: Arc::clone(object),
            to: Box::new(to),
        });
    }
    Ok(steps)
}

/// A twin whose virtual object is gone, or is not wanted on the host, goes.
pub fn prune<K: Synced>(host: &K) -> Vec<Step<K>> {
    if is_deleting(host) {
        return Vec::new();
    }
    vec![Step::DeleteHost {
        uid: host.uid().unwrap_or_default(),
        grace: None,
    }]
}

/// Is `host` the twin of this very object, not of another one that had the same name?
pub fn is_twin<K: Synced>(object: &K, host: &K) -> bool {
    host.annotations().get(labels::OBJECT_UID) == object.meta().uid.as_ref()
}

/// Is the object on its way out?
pub fn is_deleting<K: Synced>(object: &K) -> bool {
    object.meta().deletion_timestamp.is_some()
}

/// Adds to a wanted host object what the engine itself must find again: its kind, and a digest of
/// what is asked for, which tells when the virtual object lost something.
pub fn stamped<K: Synced>(mut wanted: K) -> K {
    let digest = digest(&wanted);
    let annotations = wanted.annotations_mut();
    annotations.insert(labels::OBJECT_KIND.to_owned(), metadata::kind_of::<K>());
    annotations.insert(labels::APPLIED.to_owned(), digest);
    wanted
}

/// Must the wanted object be applied? Yes when something else was applied last, and when the host
/// has other values for what was.
fn differs<K: Synced>(host: &K, wanted: &K) -> bool {
    if host.annotations().get(labels::APPLIED) != wanted.annotations().get(labels::APPLIED) {
        return true;
    }
    match (serde_json::to_value(host), serde_json::to_value(wanted)) {
        (Ok(host), Ok(wanted)) => !cover::covers(&host, &wanted),
        // Types of the Kubernetes API always have a JSON form.
        _ => true,
    }
}

/// A short digest of an object's JSON form.
pub fn digest<T: serde::Serialize>(object: &T) -> String {
    let json = serde_json::to_vec(object).unwrap_or_default();
    hex::encode(&Sha256::digest(json)[..8])
}

#[cfg(test)]
mod tests {
    use k8s_openapi::{
        api::core::v1::ConfigMap,
        apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time},
        jiff::Timestamp,
    };

    use super::*;
    use crate::{
        metadata::tests::meta,
        resource::{Surroundings, tests::translation},
        resources::config_map::ConfigMaps,
    };

    fn config_map(name: &str) -> ConfigMap {
        ConfigMap {
            metadata: meta("default", name),
            data: Some([("color".to_owned(), "red".to_owned())].into()),
            ..ConfigMap::default()
        }
    }

    fn used() -> Translation {
        Translation {
            around: Surroundings {
                is_referenced: true,
                ..Surroundings::default()
            },
            ..translation()
        }
    }

    /// The twin as the host has it after the plan for a new object was carried out.
    fn twin(object: &ConfigMap) -> ConfigMap {
        let steps = decide(Some(object), None, &used());
        let [Step::CreateHost(host)] = steps.as_slice() else {
            panic!("{steps:?}")
        };
        ConfigMap {
            metadata: ObjectMeta {
                uid: Some("uid-on-host".to_owned()),
                ..host.metadata.clone()
            },
            ..host.as_ref().clone()
        }
    }

    fn decide(
        object: Option<&ConfigMap>,
        host: Option<&ConfigMap>,
        cx: &Translation,
    ) -> Vec<Step<ConfigMap>> {
        let twins = Twins {
            key: ObjectKey::namespaced("default", "web"),
            virtual_object: object.cloned().map(Arc::new),
            host_object: host.cloned().map(Arc::new),
        };
        plan::<ConfigMaps>(&twins, cx).unwrap()
    }

    fn deletes_host(steps: &[Step<ConfigMap>]) -> bool {
        matches!(steps, [Step::DeleteHost { uid, grace: None }] if uid == "uid-on-host")
    }

    #[test]
    fn after_a_plan_was_carried_out_there_is_nothing_to_do() {
        let object = config_map("web");
        assert_eq!(decide(Some(&object), Some(&twin(&object)), &used()), []);
    }

    #[test]
    fn what_nobody_wants_goes() {
        let object = config_map("web");
        assert_eq!(decide(Some(&object), None, &translation()), []);
        assert!(deletes_host(&decide(
            Some(&object),
            Some(&twin(&object)),
            &translation()
        )));
        assert!(deletes_host(&decide(None, Some(&twin(&object)), &used())));
        assert_eq!(decide(None, None, &used()), []);
    }

    #[test]
    fn another_object_of_the_same_name_gets_another_twin() {
        let object = config_map("web");
        let host = twin(&object);
        let mut reborn = object;
        reborn.metadata.uid = Some("another".to_owned());
        assert!(deletes_host(&decide(Some(&reborn), Some(&host), &used())));
    }

    #[test]
    fn a_twin_that_is_going_is_let_go() {
        let object = config_map("web");
        let mut host = twin(&object);
        host.metadata.deletion_timestamp = Some(Time(Timestamp::UNIX_EPOCH));
        assert_eq!(decide(Some(&object), Some(&host), &used()), []);
        assert_eq!(decide(None, Some(&host), &used()), []);
    }

    #[test]
    fn what_is_going_gets_no_new_twin() {
        let mut object = config_map("web");
        object.metadata.deletion_timestamp = Some(Time(Timestamp::UNIX_EPOCH));
        assert_eq!(decide(Some(&object), None, &used()), []);
    }

    #[test]
    fn a_finalizer_keeps_the_twin_as_well() {
        let mut object = config_map("web");
        let host = twin(&object);
        object.metadata.deletion_timestamp = Some(Time(Timestamp::UNIX_EPOCH));
        assert_eq!(decide(Some(&object), Some(&host), &used()), []);
    }

    #[test]
    fn a_value_that_was_taken_away_is_taken_away_on_the_host() {
        let object = config_map("web");
        let host = twin(&object);
        let mut emptied = object;
        emptied.data = None;
        let steps = decide(Some(&emptied), Some(&host), &used());
        assert!(matches!(steps.as_slice(), [Step::ApplyHost { uid, .. }] if uid == "uid-on-host"));
    }

    #[test]
    fn what_somebody_changed_on_the_host_is_repaired() {
        let object = config_map("web");
        let mut host = twin(&object);
        host.data = Some([("color".to_owned(), "blue".to_owned())].into());
        let steps = decide(Some(&object), Some(&host), &used());
        assert!(matches!(steps.as_slice(), [Step::ApplyHost { .. }]));
    }

    #[test]
    fn what_the_host_adds_is_left_alone() {
        let object = config_map("web");
        let mut host = twin(&object);
        host.labels_mut()
            .insert("team".to_owned(), "ops".to_owned());
        assert_eq!(decide(Some(&object), Some(&host), &used()), []);
    }
}
