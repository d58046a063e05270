//! Which virtual objects need which others: the index that tells whether a config map is in use.

use std::{
    collections::{HashMap, HashSet},
    sync::{PoisonError, RwLock},
};

use crate::{
    cache::Change,
    object_key::ObjectKey,
    resource::{Reference, ResourceSyncer},
};

/// Who refers to what, kept up to date from the changes of the referring kinds.
#[derive(Debug, Default)]
pub struct References {
    by_target: RwLock<HashMap<Reference, HashSet<Referrer>>>,
}

/// An object that refers to another one: its kind and its key.
type Referrer = (&'static str, ObjectKey);

impl References {
    /// Takes in a change of an object of `R`'s kind.
    pub fn update<R: ResourceSyncer>(&self, kind: &'static str, change: &Change<R::Object>) {
        let targets = |object: Option<&R::Object>| object.map(R::references).unwrap_or_default();
        let before = targets(change.before.as_deref());
        let after = targets(change.after.as_deref());
        if before.is_empty() && after.is_empty() {
            return;
        }
        let referrer = (kind, change.key.clone());
        let mut index = self
            .by_target
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        for target in before.iter().filter(|target| !after.contains(target)) {
            if let Some(referrers) = index.get_mut(target) {
                referrers.remove(&referrer);
                if referrers.is_empty() {
                    index.remove(target);
                }
            }
        }
        for target in after {
            index.entry(target).or_default().insert(referrer.clone());
        }
    }

    /// Does any object refer to `target`?
    pub fn is_referenced(&self, target: &Reference) -> bool {
        self.by_target
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .contains_key(target)
    }

    /// The objects of `kind` that refer to `target`.
    pub fn referrers(&self, kind: &str, target: &Reference) -> Vec<ObjectKey> {
        self.by_target
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(target)
            .into_iter()
            .flatten()
            .filter(|(other, _)| *other == kind)
            .map(|(_, key)| key.clone())
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use k8s_openapi::api::core::v1::{LocalObjectReference, Pod, PodSpec};

    use super::*;
    use crate::{metadata::tests::meta, resource::Kind, resources::pod::Pods};

    fn pod(name: &str, secret: &str) -> Arc<Pod> {
        Arc::new(Pod {
            metadata: meta("default", name),
            spec: Some(PodSpec {
                image_pull_secrets: Some(vec![LocalObjectReference {
                    name: secret.to_owned(),
                }]),
                ..PodSpec::default()
            }),
            status: None,
        })
    }

    fn secret(name: &str) -> Reference {
        Reference {
            kind: Kind::Secret,
            key: ObjectKey::namespaced("default", name),
        }
    }

    fn see(references: &References, name: &str, before: Option<Arc<Pod>>, after: Option<Arc<Pod>>) {
        references.update::<Pods>(
            "Pod",
            &Change {
                key: ObjectKey::namespaced("default", name),
                before,
                after,
            },
        );
    }

    #[test]
    fn an_object_is_in_use_until_the_last_referrer_is_gone() {
        let references = References::default();
        see(&references, "one", None, Some(pod("one", "token")));
        see(&references, "two", None, Some(pod("two", "token")));
        see(&references, "one", Some(pod("one", "token")), None);
        assert!(references.is_referenced(&secret("token")));
        assert_eq!(
            references.referrers("Pod", &secret("token")),
            [ObjectKey::namespaced("default", "two")],
        );
        see(&references, "two", Some(pod("two", "token")), None);
        assert!(!references.is_referenced(&secret("token")));
    }

    #[test]
    fn a_pod_that_is_replaced_needs_what_the_new_one_needs() {
        let references = References::default();
        see(&references, "one", None, Some(pod("one", "old")));
        see(
            &references,
            "one",
            Some(pod("one", "old")),
            Some(pod("one", "new")),
        );
        assert!(!references.is_referenced(&secret("old")));
        assert!(references.is_referenced(&secret("new")));
    }
}
