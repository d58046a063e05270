//! What a virtual cluster's objects on the host are called, and the keys that mark them.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::{distro::Replicas, owner::key};

/// Label of the control-plane pod; its Service selects by it.
pub(crate) const CONTROL_PLANE: &str = "vcluster-test.dev/control-plane";
/// Annotation of the namespace: the distro.
pub(super) const DISTRO: &str = "vcluster-test.dev/distro";
/// Annotation of the namespace: the Kubernetes version.
pub(super) const VERSION: &str = "vcluster-test.dev/version";
/// Annotation of the namespace: the service addresses, once they are claimed.
pub(super) const SLICE: &str = "vcluster-test.dev/slice";

/// The pod of a stateful set is labelled with the set's name, a dash and a hash of ten characters.
const LONGEST: usize = 52;

/// The names of one virtual cluster's objects on the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Names {
    cluster: String,
    namespace: String,
}

/// A name that no cluster can have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{name}` cannot be the name of a cluster: at most {LONGEST} lower-case letters, digits and dashes, a letter first and no dash last"
)]
pub struct InvalidName {
    /// The name.
    pub name: String,
}

impl Names {
    pub(crate) fn new(cluster: &str, namespace: &str) -> Result<Self, InvalidName> {
        for name in [cluster, namespace] {
            if !is_label(name) {
                return Err(InvalidName {
                    name: name.to_owned(),
                });
            }
        }
        Ok(Self {
            cluster: cluster.to_owned(),
            namespace: namespace.to_owned(),
        })
    }

    pub(crate) fn cluster(&self) -> &str {
        &self.cluster
    }

    pub(crate) fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The Service of the API server, and the stateful set behind it.
    pub(crate) fn control_plane(&self) -> &str {
        &self.cluster
    }

    /// Its pods on the host.
    pub(crate) fn replicas(&self, count: u8) -> Replicas<'_> {
        Replicas {
            set: self.control_plane(),
            namespace: &self.namespace,
            count,
        }
    }

    /// The first of its pods, which there always is.
    pub(crate) fn pod(&self) -> String {
        pod(&self.cluster)
    }

    pub(crate) fn pki_secret(&self) -> String {
        format!("{}-pki", self.cluster)
    }

    pub(crate) fn kubeconfig_secret(&self) -> String {
        kubeconfig_secret(&self.cluster)
    }

    pub(crate) fn config_map(&self) -> String {
        format!("{}-config", self.cluster)
    }

    /// What is secret of the distro's own.
    pub(crate) fn secrets(&self) -> String {
        format!("{}-secrets", self.cluster)
    }

    /// The syncer's account, and the roles it is bound to.
    pub(crate) fn syncer(&self) -> String {
        format!("vc-{}", self.cluster)
    }

    /// Labels of everything that the harness makes for this cluster.
    pub(crate) fn labels(&self) -> BTreeMap<String, String> {
        [
            (key::CLUSTER.to_owned(), self.cluster.clone()),
            (key::MANAGED_BY.to_owned(), key::MANAGED_BY_US.to_owned()),
        ]
        .into()
    }

    /// The metadata of an object in the cluster's namespace.
    pub(crate) fn metadata(&self, name: impl Into<String>) -> ObjectMeta {
        ObjectMeta {
            name: Some(name.into()),
            namespace: Some(self.namespace.clone()),
            labels: Some(self.labels()),
            ..ObjectMeta::default()
        }
    }
}

pub(super) fn pod(cluster: &str) -> String {
    format!("{cluster}-0")
}

pub(super) fn kubeconfig_secret(cluster: &str) -> String {
    format!("vc-{cluster}")
}

fn is_label(name: &str) -> bool {
    let is_word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    name.len() <= LONGEST
        && name.bytes().all(|byte| is_word(byte) || byte == b'-')
        && name
            .bytes()
            .next()
            .is_some_and(|byte| byte.is_ascii_lowercase())
        && name.bytes().last().is_some_and(is_word)
}

/// Tests of one run never meet in a name, nor do runs.
pub(crate) fn new_name() -> String {
    use std::hash::{BuildHasher as _, RandomState};
    // The standard library's random state is seeded by the operating system.
    let random = RandomState::new().hash_one(std::process::id());
    format!("vc-{}", hex::encode(&random.to_be_bytes()[..4]))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[test]
    fn new_names_differ_and_are_short() {
        let (one, other) = (new_name(), new_name());
        assert_ne!(one, other);
        assert_eq!(one.len(), "vc-7f3a01bc".len());
    }

    #[rstest]
    #[case::short("a")]
    #[case::of_a_test("vc-7f3a01bc")]
    #[case::at_the_limit(&"a".repeat(LONGEST))]
    fn a_name_is_taken(#[case] name: &str) {
        Names::new(name, name).unwrap();
    }

    #[rstest]
    #[case::empty("")]
    #[case::beyond_the_limit(&"a".repeat(LONGEST + 1))]
    #[case::upper_case("Web")]
    #[case::digit_first("1web")]
    #[case::dash_last("web-")]
    #[case::a_path("../web")]
    #[case::a_dot("web.de")]
    fn a_name_is_refused_and_named(#[case] name: &str) {
        assert_eq!(Names::new(name, "vc-web").unwrap_err().name, name);
    }

    #[test]
    fn a_bad_namespace_is_refused_as_well() {
        assert_eq!(Names::new("web", "Web").unwrap_err().name, "Web");
    }
}
