//! How objects of the virtual cluster are called on the host.
//!
//! The rule is the reference implementation's, to the byte, so that people who know it find their
//! way. It cannot be inverted by splitting a name; the way back is the annotations of
//! the host objects.

use std::sync::Arc;

use sha2::{Digest, Sha256};

use crate::{labels, object_key::ObjectKey};

/// The longest name the host takes for every kind.
const LIMIT: usize = 63;
/// How much of a name that is too long stays readable; a dash and the hash follow.
const READABLE: usize = 52;

/// Translates names and label keys of one virtual cluster. A value, cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NameTranslator {
    cluster: Arc<str>,
    host_namespace: Arc<str>,
}

impl NameTranslator {
    /// The translator of the cluster called `cluster`, which lives in `host_namespace`.
    pub fn new(cluster: &str, host_namespace: &str) -> Self {
        Self {
            cluster: cluster.into(),
            host_namespace: host_namespace.into(),
        }
    }

    /// The virtual cluster's name.
    pub fn cluster(&self) -> &str {
        &self.cluster
    }

    /// The host namespace that holds everything of this cluster.
    pub fn host_namespace(&self) -> &str {
        &self.host_namespace
    }

    /// Where the host keeps the twin of a virtual object.
    #[must_use]
    pub fn host_key(&self, key: &ObjectKey) -> ObjectKey {
        match &key.namespace {
            Some(namespace) => ObjectKey::namespaced(
                self.host_namespace.as_ref(),
                self.host_name(&key.name, namespace),
            ),
            None => ObjectKey::cluster_scoped(self.cluster_scoped_host_name(&key.name)),
        }
    }

    /// The host name of `name` in the virtual `namespace`; empty stays empty, so that an empty
    /// reference never starts to point at something.
    #[must_use]
    pub fn host_name(&self, name: &str, namespace: &str) -> String {
        if name.is_empty() {
            return String::new();
        }
        safe_concat(&[name, "x", namespace, "x", &self.cluster])
    }

    /// The host name of a cluster-scoped object.
    #[must_use]
    pub fn cluster_scoped_host_name(&self, name: &str) -> String {
        if name.is_empty() {
            return String::new();
        }
        safe_concat(&[
            "vcluster",
            name,
            "x",
            &self.host_namespace,
            "x",
            &self.cluster,
        ])
    }

    /// The value of the managed-by label on namespaced objects.
    pub fn managed_by(&self) -> &str {
        &self.cluster
    }

    /// The value of the managed-by label on cluster-scoped objects.
    #[must_use]
    pub fn managed_by_cluster_scoped(&self) -> String {
        safe_concat(&[&self.host_namespace, "x", &self.cluster])
    }

    /// The key that a virtual label has on the host: the same, except for keys that mean something
    /// to this syncer or to the objects around it.
    #[must_use]
    pub fn label_key(&self, key: &str) -> String {
        if labels::is_reserved(key) {
            safe_concat(&[labels::TRANSLATED_PREFIX, &self.cluster, "x", &hash10(key)])
        } else {
            key.to_owned()
        }
    }

    /// The key under which a label of a virtual namespace appears on the pods in it.
    #[must_use]
    pub fn namespace_label_key(&self, key: &str) -> String {
        safe_concat(&[
            labels::NAMESPACE_LABEL_PREFIX,
            &self.cluster,
            "x",
            &hash10(key),
        ])
    }
}

/// Joins `parts` with dashes. What would be longer than 63 bytes keeps its first 52 and ends in a
/// hash of the whole.
#[must_use]
pub fn safe_concat(parts: &[&str]) -> String {
    let whole = parts.join("-");
    if whole.len() <= LIMIT {
        return whole;
    }
    let readable = &whole[..whole.floor_char_boundary(READABLE)];
    format!("{readable}-{}", hash10(&whole)).replace(".-", "-")
}

/// The first ten hex digits of the SHA-256 of `text`.
#[must_use]
pub fn hash10(text: &str) -> String {
    hex::encode(&Sha256::digest(text.as_bytes())[..5])
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    fn names() -> NameTranslator {
        NameTranslator::new("test", "vcluster-test")
    }

    #[rstest]
    #[case::short("nginx", "default", "nginx-x-default-x-test")]
    #[case::beyond_the_limit(
        "a-very-long-statefulset-pod-name-that-goes-on-0",
        "my-namespace",
        "a-very-long-statefulset-pod-name-that-goes-on-0-x-my-d9a0769ea3"
    )]
    #[case::a_dot_before_the_hash(
        "ppppppppppppppppppppppppppppppppppppppppppppppppppp.cccc",
        "default",
        "ppppppppppppppppppppppppppppppppppppppppppppppppppp-4ef6e9da8d"
    )]
    #[case::nothing("", "default", "")]
    fn namespaced_names_follow_the_reference(
        #[case] name: &str,
        #[case] namespace: &str,
        #[case] expected: &str,
    ) {
        let host = names().host_key(&ObjectKey::namespaced(namespace, name));
        assert_eq!(host, ObjectKey::namespaced("vcluster-test", expected));
    }

    #[test]
    fn cluster_scoped_names_carry_the_host_namespace() {
        assert_eq!(
            names().host_key(&ObjectKey::cluster_scoped("my-sc")),
            ObjectKey::cluster_scoped("vcluster-my-sc-x-vcluster-test-x-test"),
        );
    }

    #[test]
    fn the_limit_itself_is_not_hashed() {
        let name = "p".repeat(63 - "-x-default-x-test".len());
        assert_eq!(names().host_name(&name, "default").len(), 63);
        assert!(
            names()
                .host_name(&name, "default")
                .ends_with("-x-default-x-test")
        );
    }

    #[rstest]
    #[case::plain("app", "app")]
    #[case::release("release", "vcluster.loft.sh/label-test-x-a4d451ec23")]
    fn label_keys_stay_unless_they_mean_something_here(#[case] key: &str, #[case] host: &str) {
        assert_eq!(names().label_key(key), host);
    }

    #[test]
    fn hashes_are_the_references() {
        assert_eq!(hash10("app"), "a172cedcae");
    }

    #[test]
    fn twins_of_two_clusters_are_distinct() {
        let key = ObjectKey::namespaced("default", "web");
        let one = NameTranslator::new("vc-1", "host").host_key(&key);
        let two = NameTranslator::new("vc-2", "host").host_key(&key);
        assert_ne!(one, two);
    }

    proptest! {
        #[test]
        fn host_names_fit_and_are_stable(
            name in r"[a-z0-9]([-a-z0-9]{0,50}[a-z0-9])?(\.[a-z0-9]([-a-z0-9]{0,50}[a-z0-9])?){0,4}",
            namespace in "[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?",
        ) {
            let host = names().host_name(&name, &namespace);
            prop_assert!(host.len() <= LIMIT);
            let whole = [&name, "x", &namespace, "x", "test"].join("-");
            prop_assert!(host == whole || !host.contains(".-"));
            prop_assert_eq!(host, names().host_name(&name, &namespace));
        }

        /// The readable form joins with `-x-`, which names may contain; such names can meet, as
        /// they can in the reference. All others cannot.
        #[test]
        fn translation_is_injective_without_the_separator(
            keys in proptest::collection::hash_set(("[a-wyz0-9]{1,40}", "[a-wyz0-9]{1,40}"), 1..50),
        ) {
            let mut seen = HashMap::new();
            for (name, namespace) in keys {
                let host = names().host_name(&name, &namespace);
                prop_assert_eq!(seen.insert(host, (name, namespace)), None);
            }
        }
    }
}
