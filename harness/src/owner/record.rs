//! The owner as data, and as labels and annotations.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::{Deserialize, Serialize};

use super::place::{Place, Process};

/// Keys on the host namespace of a virtual cluster.
pub mod key {
    /// Annotation: the whole [`Owner`](super::Owner) as JSON.
    pub const OWNER: &str = "vcluster-test.dev/owner";
    /// Annotation: after this time anybody may delete the cluster. RFC 3339.
    pub const EXPIRES_AT: &str = "vcluster-test.dev/expires-at";
    /// Annotation: the test that asked for the cluster.
    pub const TEST: &str = "vcluster-test.dev/test";
    /// Label: the session of the owning process. A reaper deletes what carries its session.
    pub const SESSION: &str = "vcluster-test.dev/session";
    /// Label: the machine of the owning process.
    pub const MACHINE: &str = "vcluster-test.dev/machine";
    /// Label: the virtual cluster's name.
    pub const CLUSTER: &str = "vcluster-test.dev/cluster";
    /// Label: the pod that a virtual cluster's API server runs in.
    pub const CONTROL_PLANE: &str = "vcluster-test.dev/control-plane";
    /// Label: what the harness makes is found by it.
    pub const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
    /// The value of [`MANAGED_BY`].
    pub const MANAGED_BY_US: &str = "vcluster-test";
}

/// Who made a virtual cluster, and when it may be taken from them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Owner {
    /// Where the owning process runs.
    #[serde(flatten)]
    pub place: Place,
    /// The user's name, for people who read it.
    pub user: String,
    /// The process whose end is the cluster's end; `None` when only [`Self::expires_at`] counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub process: Option<Process>,
    /// The session that made it.
    pub session: String,
    /// The path of the test that asked for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test: Option<String>,
    /// When anybody may delete it, by the host's clock. `None`: only on request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
}

/// An owner that cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The annotation is there and is not an owner.
    #[error("could not read the owner of namespace {namespace}")]
    Unreadable {
        /// The namespace that carries it.
        namespace: String,
        /// What is wrong with the JSON.
        source: serde_json::Error,
    },
}

impl Owner {
    /// An owner for what nobody's process holds: it lives until it is deleted on request.
    pub fn standing() -> Self {
        Self {
            place: Place::here(),
            user: super::place::user(),
            process: None,
            session: String::new(),
            test: None,
            expires_at: None,
        }
    }

    /// The same cluster, no longer tied to a process: it stays until `until`.
    #[must_use]
    pub fn kept_until(self, until: Timestamp) -> Self {
        Self {
            process: None,
            expires_at: Some(until),
            ..self
        }
    }

    /// Labels for the host namespace. The session is a label only while a process holds the cluster,
    /// so that no reaper takes what is to be kept.
    pub fn labels(&self) -> BTreeMap<String, String> {
        let mut labels = BTreeMap::from([(key::MACHINE.to_owned(), self.place.machine.clone())]);
        if self.process.is_some() {
            labels.insert(key::SESSION.to_owned(), self.session.clone());
        }
        labels
    }

    /// Annotations for the host namespace.
    ///
    /// # Panics
    /// Never: an owner is plain data with string keys.
    pub fn annotations(&self) -> BTreeMap<String, String> {
        let json = serde_json::to_string(self).expect("an owner is plain data with string keys");
        let mut annotations = BTreeMap::from([(key::OWNER.to_owned(), json)]);
        if let Some(test) = &self.test {
            annotations.insert(key::TEST.to_owned(), test.clone());
        }
        if let Some(expires_at) = self.expires_at {
            annotations.insert(key::EXPIRES_AT.to_owned(), expires_at.to_string());
        }
        annotations
    }

    /// Reads the owner of an object; `None` when it carries none.
    ///
    /// # Errors
    /// The annotation is there and is not an owner.
    pub fn of(metadata: &ObjectMeta) -> Result<Option<Self>, Error> {
        let annotations = metadata.annotations.as_ref();
        annotations
            .and_then(|annotations| annotations.get(key::OWNER))
            .map(|json| {
                serde_json::from_str(json).map_err(|source| Error::Unreadable {
                    namespace: metadata.name.clone().unwrap_or_default(),
                    source,
                })
            })
            .transpose()
    }

    /// A merge patch that makes this the owner of an object that had another.
    pub fn patch(&self) -> serde_json::Value {
        let mut labels = serde_json::json!({ key::SESSION: null });
        for (name, value) in self.labels() {
            labels[name] = value.into();
        }
        let mut annotations = serde_json::json!({ key::EXPIRES_AT: null });
        for (name, value) in self.annotations() {
            annotations[name] = value.into();
        }
        serde_json::json!({ "metadata": { "labels": labels, "annotations": annotations } })
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn owner() -> Owner {
        Owner {
            place: Place {
                machine: "m1".to_owned(),
                boot_id: "b1".to_owned(),
                pid_namespace: "pid:[1]".to_owned(),
            },
            user: "ada".to_owned(),
            process: Some(Process {
                pid: 4242,
                start_time: 1000,
            }),
            session: "s1".to_owned(),
            test: Some("web::answers".to_owned()),
            expires_at: Some("2026-01-02T03:04:05Z".parse().unwrap()),
        }
    }

    fn metadata(owner: &Owner) -> ObjectMeta {
        ObjectMeta {
            name: Some("vc-1".to_owned()),
            labels: Some(owner.labels()),
            annotations: Some(owner.annotations()),
            ..ObjectMeta::default()
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        for owner in [owner(), Owner::standing()] {
            assert_eq!(Owner::of(&metadata(&owner)).unwrap(), Some(owner));
        }
    }

    #[test]
    fn an_object_without_the_annotation_has_no_owner() {
        assert_eq!(Owner::of(&ObjectMeta::default()).unwrap(), None);
    }

    #[test]
    fn nonsense_names_the_namespace() {
        let mut metadata = metadata(&owner());
        metadata.annotations = Some([(key::OWNER.to_owned(), "{".to_owned())].into());
        let error = Owner::of(&metadata).unwrap_err();
        assert_eq!(
            error.to_string(),
            "could not read the owner of namespace vc-1"
        );
    }

    #[test]
    fn a_field_of_a_later_version_is_no_obstacle() {
        let mut json = serde_json::to_value(owner()).unwrap();
        json["colour"] = "red".into();
        assert_eq!(serde_json::from_value::<Owner>(json).unwrap(), owner());
    }

    #[test]
    fn what_is_kept_carries_no_session_label() {
        let kept = owner().kept_until("2027-01-01T00:00:00Z".parse().unwrap());
        assert!(!kept.labels().contains_key(key::SESSION));
        let patch = kept.patch();
        assert!(patch["metadata"]["labels"][key::SESSION].is_null());
        assert_eq!(
            patch["metadata"]["annotations"][key::EXPIRES_AT],
            "2027-01-01T00:00:00Z"
        );
    }
}
