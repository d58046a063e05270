//! Watches one object until a condition holds or the deadline passes.

use std::{fmt::Debug, time::Duration};

use futures::StreamExt as _;
use k8s_openapi::api::core::v1::Event;
use kube::{
    Api, Resource,
    api::ListParams,
    runtime::{
        wait::Condition,
        watcher::{self, watch_object},
    },
};
use serde::{Serialize, de::DeserializeOwned};

use super::last_seen;
use crate::deadline::Deadline;

/// How many events a failed wait tells.
const EVENTS_TOLD: usize = 5;

/// The budget for asking why a wait failed.
const ASK_WHY: Duration = Duration::from_secs(2);

/// A wait that did not end well.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The deadline passed.
    #[error(
        "{kind} `{object}` did not become {awaited} within {limit:.1?}; last seen: {last_seen}{events}",
        events = told(.events)
    )]
    TimedOut {
        /// The kind of the object.
        kind: String,
        /// Its name.
        object: String,
        /// The deadline's name.
        awaited: &'static str,
        /// How long the wait was.
        limit: Duration,
        /// The object's last state in one line.
        last_seen: String,
        /// The newest events about it, oldest first.
        events: Vec<String>,
        /// Why nothing newer was seen, when the watch itself failed.
        #[source]
        source: Option<watcher::Error>,
    },
}

fn told(events: &[String]) -> String {
    let mut text = String::new();
    for event in events {
        text.push_str("\n  event: ");
        text.push_str(event);
    }
    text
}

/// Waits until `condition` holds for the object of that name, and gives the object as it then was.
///
/// A watch that breaks is resumed; the deadline's name says what is awaited, such as `available`.
///
/// # Errors
/// [`Error::TimedOut`] with what was last seen and the newest events about the object.
pub async fn until<K>(
    api: &Api<K>,
    name: &str,
    condition: impl Condition<K>,
    deadline: Deadline,
) -> Result<Option<K>, Error>
where
    K: Resource<DynamicType = ()> + Clone + Debug + Serialize + DeserializeOwned + Send + 'static,
{
    let mut states = std::pin::pin!(watch_object(api.clone(), name));
    let mut seen: Option<K> = None;
    let mut failure = None;
    loop {
        match tokio::time::timeout_at(deadline.instant(), states.next()).await {
            Ok(Some(Ok(state))) => {
                if condition.matches_object(state.as_ref()) {
                    return Ok(state);
                }
                (seen, failure) = (state, None);
            }
            // A watch that expired or lost its server is begun again; without a pause that would spin.
            Ok(Some(Err(error))) => {
                failure = Some(error);
                tokio::time::sleep(Duration::from_millis(50).min(deadline.remaining())).await;
            }
            Ok(None) | Err(_) => {
                return Err(Error::TimedOut {
                    kind: K::kind(&()).to_lowercase(),
                    object: name.to_owned(),
                    awaited: deadline.name(),
                    limit: deadline.limit(),
                    last_seen: last_seen(seen.as_ref()),
                    events: events_about(api, name, seen.as_ref()).await,
                    source: failure,
                });
            }
        }
    }
}

/// The newest events about the object; none when they cannot be had, since this only adds to an error.
async fn events_about<K>(api: &Api<K>, name: &str, seen: Option<&K>) -> Vec<String>
where
    K: Resource<DynamicType = ()> + Clone,
{
    let mut fields = format!(
        "involvedObject.name={name},involvedObject.kind={}",
        K::kind(&())
    );
    if let Some(namespace) = seen.and_then(|object| object.meta().namespace.as_ref()) {
        fields.push_str(",involvedObject.namespace=");
        fields.push_str(namespace);
    }
    let all: Api<Event> = Api::all(api.clone().into_client());
    let query = ListParams::default().fields(&fields);
    let Ok(Ok(list)) = tokio::time::timeout(ASK_WHY, all.list(&query)).await else {
        return Vec::new();
    };
    let mut events = list.items;
    events.sort_by_key(|event| {
        event
            .last_timestamp
            .as_ref()
            .map(|time| time.0)
            .or_else(|| event.event_time.as_ref().map(|time| time.0))
    });
    events
        .iter()
        .rev()
        .take(EVENTS_TOLD)
        .rev()
        .map(|event| {
            format!(
                "{}: {}",
                event.reason.as_deref().unwrap_or("no reason given"),
                event.message.as_deref().unwrap_or_default()
            )
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeout_says_what_was_awaited_and_seen() {
        let error = Error::TimedOut {
            kind: "pod".to_owned(),
            object: "web".to_owned(),
            awaited: "ready",
            limit: Duration::from_secs(3),
            last_seen: "phase Pending".to_owned(),
            events: vec!["FailedScheduling: no nodes".to_owned()],
            source: None,
        };
        assert_eq!(
            error.to_string(),
            "pod `web` did not become ready within 3.0s; last seen: phase Pending\n  \
             event: FailedScheduling: no nodes"
        );
    }
}
