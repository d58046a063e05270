//! What there is of one kind of cluster on a host, and what somebody who asks for one does about it.

use std::time::Duration;

use futures::StreamExt as _;
use k8s_openapi::{api::core::v1::Namespace, apimachinery::pkg::apis::meta::v1::ObjectMeta};
use kube::{
    Api, Client,
    api::{ListParams, WatchParams},
    core::{PartialObjectMeta, WatchEvent},
};
use tracing::debug;

use super::{
    key::PoolKey,
    record::{PoolState, key},
};

/// All clusters of one kind that a host has.
#[derive(Debug, Default)]
pub(crate) struct Stock {
    /// Those that wait for a test.
    pub(super) idle: Vec<ObjectMeta>,
    /// How many will wait before long.
    coming: usize,
    /// How many are handed on, in whatever state.
    members: usize,
    /// Is or was there a moment ago any at all?
    is_asked_for: bool,
    /// The host's revision of all this.
    revision: String,
}

/// How long to wait when changes cannot be watched.
const PAUSE: Duration = Duration::from_millis(100);

/// What to do when none can be had at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lack {
    /// Nobody is about to leave one: start one.
    Start,
    /// Wait for one that is about to be left.
    Wait {
        /// And have another one made, if the processors have time for it: there are few.
        make: bool,
    },
}

impl Stock {
    /// Looks at a host.
    pub(crate) async fn read(host: &Client, pool: &PoolKey) -> Result<Self, kube::Error> {
        let namespaces: Api<Namespace> = Api::all(host.clone());
        let parameters = ListParams::default().labels(&alike(pool));
        let found = namespaces.list_metadata(&parameters).await?;
        let revision = found.metadata.resource_version.unwrap_or_default();
        let objects = found.items.into_iter().map(|object| object.metadata);
        Ok(Self {
            revision,
            ..Self::of(objects)
        })
    }

    /// Returns when there may be something to take or to make that was not there when this was read, or the time is up.
    pub(crate) async fn wait_for_change(&self, host: &Client, pool: &PoolKey, limit: Duration) {
        let namespaces: Api<Namespace> = Api::all(host.clone());
        let parameters = WatchParams::default().labels(&alike(pool));
        let seen = async {
            let changes = namespaces
                .watch_metadata(&parameters, &self.revision)
                .await?;
            let mut changes = changes.boxed();
            while let Some(change) = changes.next().await {
                if is_news(&change?) {
                    return Ok::<_, kube::Error>(true);
                }
            }
            Ok(false)
        };
        match tokio::time::timeout(limit, Box::pin(seen)).await {
            Ok(Ok(true)) | Err(_) => {}
            // A host that does not let itself be watched is asked again and again, but not without a pause.
            Ok(ended) => {
                debug!(error = ?ended.err(), "the pool is not watched");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }

    fn of(found: impl Iterator<Item = ObjectMeta>) -> Self {
        let mut stock = Self::default();
        for metadata in found {
            // One that is about to go also says that somebody asked.
            stock.is_asked_for = true;
            let state = PoolState::of(&metadata);
            if metadata.deletion_timestamp.is_some() || state.is_none() {
                continue;
            }
            stock.members += 1;
            match state {
                Some(PoolState::Idle) => stock.idle.push(metadata),
                Some(PoolState::Making | PoolState::Resetting) => stock.coming += 1,
                Some(PoolState::InUse) | None => {}
            }
        }
        stock
    }

    /// Has nobody asked for this kind, as far as the host knows?
    pub(crate) fn is_unheard_of(&self) -> bool {
        !self.is_asked_for
    }

    /// What to do when no other is idle, where there may be so many.
    pub(crate) fn lack(&self, most: usize) -> Lack {
        if self.coming == 0 {
            Lack::Start
        } else {
            Lack::Wait {
                make: self.members < most,
            }
        }
    }
}

/// To who waits it is nothing that others use theirs or put them back.
fn is_news<K>(change: &WatchEvent<PartialObjectMeta<K>>) -> bool {
    match change {
        WatchEvent::Added(object) | WatchEvent::Modified(object) => {
            let metadata = &object.metadata;
            metadata.deletion_timestamp.is_some()
                || PoolState::of(metadata).is_none_or(|state| state == PoolState::Idle)
        }
        WatchEvent::Bookmark(_) => false,
        WatchEvent::Deleted(_) | WatchEvent::Error(_) => true,
    }
}

fn alike(pool: &PoolKey) -> String {
    format!("{}={}", key::LIKE, pool.as_str())
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn metadata(state: Option<PoolState>) -> ObjectMeta {
        ObjectMeta {
            labels: state.map(|state| [(key::STATE.to_owned(), state.name().to_owned())].into()),
            ..ObjectMeta::default()
        }
    }

    fn stock(states: &[Option<PoolState>]) -> Stock {
        Stock::of(states.iter().copied().map(metadata))
    }

    const MAKING: Option<PoolState> = Some(PoolState::Making);
    const IN_USE: Option<PoolState> = Some(PoolState::InUse);
    const RESETTING: Option<PoolState> = Some(PoolState::Resetting);

    #[rstest]
    #[case::nothing_is_there(&[], Lack::Start)]
    #[case::all_are_in_use(&[IN_USE, IN_USE], Lack::Start)]
    #[case::the_only_other_is_for_its_test_alone(&[None], Lack::Start)]
    #[case::one_comes_back(&[IN_USE, RESETTING], Lack::Wait { make: true })]
    #[case::one_is_made(&[MAKING], Lack::Wait { make: true })]
    #[case::there_are_enough(&[IN_USE, RESETTING, RESETTING, MAKING], Lack::Wait { make: false })]
    fn who_finds_none_waits_only_for_what_comes(
        #[case] states: &[Option<PoolState>],
        #[case] expected: Lack,
    ) {
        assert_eq!(stock(states).lack(4), expected);
    }

    #[rstest]
    #[case::it_waits_for_a_test(Some(PoolState::Idle), true)]
    #[case::it_is_for_nobody_else(None, true)]
    #[case::somebody_uses_it(IN_USE, false)]
    #[case::it_is_put_back(RESETTING, false)]
    #[case::it_is_made(MAKING, false)]
    fn who_waits_is_told_of_what_is_there(
        #[case] state: Option<PoolState>,
        #[case] expected: bool,
    ) {
        let object = |metadata| PartialObjectMeta::<Namespace> {
            metadata,
            ..PartialObjectMeta::default()
        };
        let changed = object(metadata(state));
        assert_eq!(is_news(&WatchEvent::Modified(changed.clone())), expected);
        assert!(is_news(&WatchEvent::Deleted(changed)));
        let going = object(ObjectMeta {
            deletion_timestamp: Some(serde_json::from_str("\"2026-01-02T03:04:05Z\"").unwrap()),
            ..metadata(state)
        });
        assert!(is_news(&WatchEvent::Modified(going)));
    }

    #[test]
    fn one_that_goes_says_that_somebody_asked_and_no_more() {
        let going = ObjectMeta {
            deletion_timestamp: Some(serde_json::from_str("\"2026-01-02T03:04:05Z\"").unwrap()),
            labels: Some([(key::STATE.to_owned(), "resetting".to_owned())].into()),
            ..ObjectMeta::default()
        };
        let stock = Stock::of([going].into_iter());
        assert!(!stock.is_unheard_of());
        assert_eq!(stock.lack(4), Lack::Start);
        assert!(Stock::default().is_unheard_of());
    }
}
