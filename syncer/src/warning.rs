//! Warning events on virtual objects that cannot live on the host, in the tenant's own names.

use std::fmt;

use kube::{
    Client,
    runtime::events::{Event, EventType, Recorder, Reporter},
};
use tracing::debug;

use crate::{naming::NameTranslator, object_key::ObjectKey, resource::Synced};

/// Publishes warnings in the virtual cluster.
pub struct Warnings {
    recorder: Recorder,
    names: NameTranslator,
}

impl fmt::Debug for Warnings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Warnings").finish_non_exhaustive()
    }
}

impl Warnings {
    /// Publishes with `client`.
    pub fn new(client: Client, names: NameTranslator) -> Self {
        let reporter = Reporter {
            controller: "vcluster-syncer".to_owned(),
            instance: None,
        };
        Self {
            recorder: Recorder::new(client, reporter),
            names,
        }
    }

    /// Says on `object` why it is not on the host. A warning that cannot be written is not worth a
    /// second failure.
    pub async fn publish<K: Synced>(&self, object: &K, reason: &str, problem: &str) {
        let event = Event {
            type_: EventType::Warning,
            reason: reason.to_owned(),
            note: Some(in_tenants_words(
                problem,
                &ObjectKey::of(object),
                &self.names,
            )),
            action: format!("Sync{}", K::kind(&())),
            secondary: None,
        };
        if let Err(error) = self.recorder.publish(&event, &object.object_ref(&())).await {
            debug!(%error, kind = %K::kind(&()), object = %ObjectKey::of(object), "could not publish a warning");
        }
    }
}

/// Replaces the host's names in a message by the tenant's, and cuts it to what an event may hold.
pub(crate) fn in_tenants_words(message: &str, key: &ObjectKey, names: &NameTranslator) -> String {
    let host = names.host_key(key);
    let mut message = match (&host.namespace, &key.namespace) {
        (Some(host_namespace), Some(namespace)) => message
            .replace(
                &format!("{host_namespace}/{}", host.name),
                &format!("{namespace}/{}", key.name),
            )
            .replace(&host.name, &key.name)
            .replace(&format!("-x-{namespace}-x-{}", names.cluster()), "")
            .replace(
                &format!("namespace {host_namespace}"),
                &format!("namespace {namespace}"),
            )
            .replace(
                &format!("namespace: {host_namespace}"),
                &format!("namespace: {namespace}"),
            )
            .replace(host_namespace.as_str(), namespace),
        _ => message.replace(&host.name, &key.name),
    };
    if message.len() > LONGEST {
        message.truncate(message.floor_char_boundary(LONGEST));
    }
    message
}

/// The API server refuses longer notes.
const LONGEST: usize = 1000;

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::resource::tests::names;

    #[rstest]
    #[case::its_own_name(
        "pods \"web-x-default-x-test\" is forbidden",
        "pods \"web\" is forbidden"
    )]
    #[case::with_the_namespace("vcluster-test/web-x-default-x-test failed", "default/web failed")]
    #[case::a_neighbour(
        "secret \"key-x-default-x-test\" not found in namespace vcluster-test",
        "secret \"key\" not found in namespace default"
    )]
    fn hosts_names_are_not_told(#[case] message: &str, #[case] expected: &str) {
        let key = ObjectKey::namespaced("default", "web");
        assert_eq!(in_tenants_words(message, &key, &names()), expected);
    }

    #[test]
    fn a_long_message_is_cut_at_a_character() {
        let key = ObjectKey::namespaced("default", "web");
        let cut = in_tenants_words(&"ä".repeat(2000), &key, &names());
        assert_eq!(cut.len(), LONGEST);
    }
}
