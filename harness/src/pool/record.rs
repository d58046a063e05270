//! What the namespace of a cluster says of its place in the pool.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::Serialize;
use serde_json::{Value, json};

use super::key::{LIBRARY, PoolKey};
use crate::owner::{self, Owner};

/// Keys on the host namespace of a cluster that goes from test to test.
pub mod key {
    /// Label: a digest of what it is. Tests that ask for the same may have it.
    pub const POOL: &str = "vcluster-test.dev/pool";
    /// Label: the same digest, also on a cluster that is not handed on: the next one may be.
    pub const LIKE: &str = "vcluster-test.dev/pool-like";
    /// Label: `making`, `in-use`, `resetting` or `idle`.
    pub const STATE: &str = "vcluster-test.dev/pool-state";
    /// Label: the make of the library whose cluster it is. Others never take it.
    pub const LIBRARY: &str = "vcluster-test.dev/library";
    /// Annotation: how many tests have had it.
    pub const USES: &str = "vcluster-test.dev/pool-uses";
    /// Annotation: the containers of its control plane, when it was last as it should be.
    pub const PULSE: &str = "vcluster-test.dev/pool-pulse";
    /// Annotation: since when it waits. RFC 3339, by the host's clock.
    pub const IDLE_SINCE: &str = "vcluster-test.dev/pool-idle-since";
}

/// What a cluster of the pool is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum PoolState {
    /// It is made before anybody asks for it.
    Making,
    /// A test has it.
    InUse,
    /// It is put back into its first state.
    Resetting,
    /// It waits for the next test.
    Idle,
}

impl PoolState {
    /// The label's value.
    pub fn name(self) -> &'static str {
        match self {
            Self::Making => "making",
            Self::InUse => "in-use",
            Self::Resetting => "resetting",
            Self::Idle => "idle",
        }
    }

    /// Reads it from an object's labels; `None` for what is in no pool.
    pub fn of(metadata: &ObjectMeta) -> Option<Self> {
        let label = metadata.labels.as_ref()?.get(key::STATE)?;
        [Self::Making, Self::InUse, Self::Resetting, Self::Idle]
            .into_iter()
            .find(|state| state.name() == label)
    }
}

/// What a new cluster is to the tests after its first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Nothing: they only see that there was one.
    Alone,
    /// It goes to them when the first has had it.
    Member,
    /// Its first test is still to come.
    Ahead,
}

/// Labels of a new cluster.
pub(crate) fn labels(pool: &PoolKey, standing: Standing) -> BTreeMap<String, String> {
    let like = [(key::LIKE, pool.as_str())];
    let of_member = |state: PoolState| {
        vec![
            (key::POOL, pool.as_str()),
            (key::STATE, state.name()),
            (key::LIBRARY, LIBRARY),
        ]
    };
    let more = match standing {
        Standing::Alone => Vec::new(),
        Standing::Member => of_member(PoolState::InUse),
        Standing::Ahead => of_member(PoolState::Making),
    };
    like.into_iter()
        .chain(more)
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

/// Gives an idle cluster to a test, unless somebody was quicker.
pub(super) fn claimed(idle: &ObjectMeta, owner: &Owner) -> Value {
    let mut patch = owner.patch();
    patch["metadata"]["resourceVersion"] = json!(idle.resource_version);
    patch["metadata"]["labels"][key::STATE] = json!(PoolState::InUse.name());
    patch["metadata"]["annotations"][key::USES] = json!((uses(idle) + 1).to_string());
    patch["metadata"]["annotations"][key::IDLE_SINCE] = Value::Null;
    patch
}

/// Says that a cluster is between two tests.
pub(super) fn resetting() -> Value {
    json!({"metadata": {"labels": {key::STATE: PoolState::Resetting.name()}}})
}

/// Leaves a cluster to whoever comes until `until`. It belongs to no process from then on.
pub(super) fn shelved(owner: &Owner, pulse: &str, now: Timestamp, until: Timestamp) -> Value {
    let nobody = Owner {
        session: String::new(),
        test: None,
        ..owner.clone().kept_until(until)
    };
    let mut patch = nobody.patch();
    patch["metadata"]["labels"][key::STATE] = json!(PoolState::Idle.name());
    patch["metadata"]["annotations"][owner::key::TEST] = Value::Null;
    patch["metadata"]["annotations"][key::PULSE] = json!(pulse);
    patch["metadata"]["annotations"][key::IDLE_SINCE] = json!(now.to_string());
    patch
}

/// Adds to a patch that takes a cluster out of the pool for good.
pub(crate) fn withdraw(patch: &mut Value) {
    for label in [key::POOL, key::LIKE, key::STATE, key::LIBRARY] {
        patch["metadata"]["labels"][label] = Value::Null;
    }
}

/// The containers of its control plane, when it was left.
pub(crate) fn pulse(metadata: &ObjectMeta) -> Option<&String> {
    metadata.annotations.as_ref()?.get(key::PULSE)
}

/// Since when it waits; what does not say so has waited for ever.
pub(super) fn idle_since(metadata: &ObjectMeta) -> Timestamp {
    let annotations = metadata.annotations.as_ref();
    annotations
        .and_then(|annotations| annotations.get(key::IDLE_SINCE)?.parse().ok())
        .unwrap_or(Timestamp::UNIX_EPOCH)
}

/// How many tests had it before the one that has it.
pub(super) fn uses(metadata: &ObjectMeta) -> u32 {
    let annotations = metadata.annotations.as_ref();
    annotations
        .and_then(|annotations| annotations.get(key::USES)?.parse().ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner() -> Owner {
        let mut owner = Owner::standing();
        owner.session = "s1".to_owned();
        owner.test = Some("web::works".to_owned());
        owner.process = Some(owner::Process {
            pid: 1,
            start_time: 2,
        });
        owner
    }

    #[test]
    fn what_waits_is_tied_to_no_process_and_names_no_test() {
        let now = "2026-01-02T03:04:05Z".parse().unwrap();
        let until = "2026-01-02T03:06:05Z".parse().unwrap();
        let patch = shelved(&owner(), "u1:0", now, until);
        let metadata = &patch["metadata"];
        assert_eq!(metadata["labels"][key::STATE], "idle");
        assert!(metadata["labels"][owner::key::SESSION].is_null());
        let annotations = &metadata["annotations"];
        assert!(annotations[owner::key::TEST].is_null());
        assert_eq!(annotations[owner::key::EXPIRES_AT], "2026-01-02T03:06:05Z");
        let text = annotations[owner::key::OWNER].as_str().unwrap();
        let read: Owner = serde_json::from_str(text).unwrap();
        assert_eq!((read.process, read.test), (None, None));
    }

    #[test]
    fn what_is_handed_on_says_which_make_of_the_library_it_is_of() {
        let labels = labels(&PoolKey::named("k1"), Standing::Member);
        assert_eq!(labels[key::POOL], "k1");
        assert_eq!(labels[key::LIBRARY], LIBRARY);
        let is_label = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        assert!(
            LIBRARY.len() <= 63 && LIBRARY.chars().all(is_label),
            "{LIBRARY}"
        );
    }

    #[test]
    fn a_claim_holds_only_for_what_was_seen() {
        let idle = ObjectMeta {
            resource_version: Some("17".to_owned()),
            annotations: Some([(key::USES.to_owned(), "4".to_owned())].into()),
            ..ObjectMeta::default()
        };
        let patch = claimed(&idle, &owner());
        assert_eq!(patch["metadata"]["resourceVersion"], "17");
        assert_eq!(patch["metadata"]["labels"][owner::key::SESSION], "s1");
        assert_eq!(patch["metadata"]["annotations"][key::USES], "5");
    }

    #[test]
    fn a_state_reads_back_and_nonsense_is_none() {
        let with = |state: &str| ObjectMeta {
            labels: Some([(key::STATE.to_owned(), state.to_owned())].into()),
            ..ObjectMeta::default()
        };
        for state in [
            PoolState::Making,
            PoolState::InUse,
            PoolState::Resetting,
            PoolState::Idle,
        ] {
            assert_eq!(PoolState::of(&with(state.name())), Some(state));
        }
        assert_eq!(PoolState::of(&with("asleep")), None);
        assert_eq!(PoolState::of(&ObjectMeta::default()), None);
    }
}
