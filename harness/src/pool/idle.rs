//! Clusters that go from test to test: taken by one, taken back, left to the next, and deleted when too many wait or
//! have waited too long.

use std::cmp::Reverse;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::{api::core::v1::Namespace, apimachinery::pkg::apis::meta::v1::ObjectMeta};
use kube::{
    Api, Client,
    api::{ListParams, Patch, PatchParams},
};
use serde_json::{Value, json};
use tracing::{debug, info};

use super::{
    Pool,
    key::PoolKey,
    record::{PoolState, Standing, claimed, idle_since, key, labels, resetting, shelved},
    stock::Stock,
};
use crate::{
    cluster::{DeleteError, delete_if},
    owner::{Owner, clock},
};

/// Takes one of the clusters that wait, if it can: of several processes that want the same one gets it.
pub(crate) async fn claim(
    host: &Client,
    stock: &Stock,
    owner: &Owner,
) -> Result<Option<ObjectMeta>, kube::Error> {
    let namespaces: Api<Namespace> = Api::all(host.clone());
    let mut waiting: Vec<_> = stock.idle.iter().collect();
    // The last that was used is warm, and the others may go.
    waiting.sort_by_key(|metadata| Reverse(idle_since(metadata)));
    for idle in waiting {
        let Some(name) = &idle.name else { continue };
        let patch = Patch::Merge(claimed(idle, owner));
        let parameters = PatchParams::default();
        match namespaces.patch_metadata(name, &parameters, &patch).await {
            Ok(taken) => {
                debug!(namespace = name, "claimed");
                return Ok(Some(taken.metadata));
            }
            Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => {
                debug!(namespace = name, "somebody else was quicker");
            }
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

/// Opens a cluster to other tests that was started for one alone.
pub(crate) async fn open(
    host: &Client,
    namespace: &str,
    pool: &PoolKey,
) -> Result<(), kube::Error> {
    let labels = labels(pool, Standing::Member);
    mark(host, namespace, json!({"metadata": {"labels": labels}})).await
}

/// Takes a cluster back from its test: the next one may wait for it.
pub(crate) async fn take_back(host: &Client, namespace: &str) -> Result<(), kube::Error> {
    mark(host, namespace, resetting()).await
}

/// Leaves a cluster that is as it was to the next test.
pub(crate) async fn shelve(
    host: &Client,
    namespace: &str,
    owner: &Owner,
    pulse: &str,
    pool: Pool,
) -> Result<(), kube::Error> {
    let now = clock::host_now(host).await;
    let idle = SignedDuration::try_from(pool.idle).unwrap_or(SignedDuration::MAX);
    let until = now.saturating_add(idle).unwrap_or(Timestamp::MAX);
    mark(host, namespace, shelved(owner, pulse, now, until)).await
}

/// Writes down what has become of a cluster.
async fn mark(host: &Client, namespace: &str, patch: Value) -> Result<(), kube::Error> {
    let namespaces: Api<Namespace> = Api::all(host.clone());
    let parameters = PatchParams::default();
    let patch = Patch::Merge(patch);
    let marked = namespaces.patch_metadata(namespace, &parameters, &patch);
    marked.await.map(drop)
}

/// Deletes those that have waited longest while there are more than may wait.
pub(crate) async fn make_room(host: &Client, pool: Pool) -> Result<(), DeleteError> {
    let waiting = waiting(host).await.map_err(DeleteError::List)?;
    for idle in surplus(waiting, pool.size) {
        discard(host, &idle, "there are enough").await?;
    }
    Ok(())
}

/// What was left that lately is likely to be taken at once.
const WANTED: SignedDuration = SignedDuration::from_secs(15);

/// Deletes the one that has waited longest, if that is long: somebody waits for its room.
pub(crate) async fn give_way(host: &Client) -> Result<(), DeleteError> {
    let waiting = waiting(host).await.map_err(DeleteError::List)?;
    let now = clock::host_now(host).await;
    let longest = waiting.iter().min_by_key(|idle| idle_since(idle));
    match longest.filter(|idle| now.duration_since(idle_since(idle)) > WANTED) {
        Some(idle) => discard(host, idle, "its room is needed").await.map(drop),
        None => Ok(()),
    }
}

/// Deletes a cluster that waits, unless it does not any more.
pub(super) async fn discard(
    host: &Client,
    idle: &ObjectMeta,
    reason: &'static str,
) -> Result<bool, DeleteError> {
    let namespace = idle.name.as_deref().unwrap_or_default();
    let seen = idle_since(idle);
    let still = |now: &ObjectMeta| {
        now.uid == idle.uid
            && PoolState::of(now) == Some(PoolState::Idle)
            && idle_since(now) == seen
    };
    let is_deleted = delete_if(host, namespace, still).await?;
    if is_deleted {
        info!(namespace, reason, "deleted an idle cluster");
    }
    Ok(is_deleted)
}

/// The clusters that wait on a host, and are not about to go.
pub(super) async fn waiting(host: &Client) -> Result<Vec<ObjectMeta>, kube::Error> {
    let selector = format!("{}={}", key::STATE, PoolState::Idle.name());
    let namespaces: Api<Namespace> = Api::all(host.clone());
    let parameters = ListParams::default().labels(&selector);
    let list = namespaces.list_metadata(&parameters).await?;
    let stay = list.items.into_iter().map(|object| object.metadata);
    Ok(stay
        .filter(|metadata| metadata.deletion_timestamp.is_none())
        .collect())
}

fn surplus(mut waiting: Vec<ObjectMeta>, size: usize) -> Vec<ObjectMeta> {
    waiting.sort_by_key(|metadata| Reverse(idle_since(metadata)));
    waiting.split_off(size.min(waiting.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn idle(name: &str, since: &str) -> ObjectMeta {
        ObjectMeta {
            name: Some(name.to_owned()),
            annotations: Some([(key::IDLE_SINCE.to_owned(), since.to_owned())].into()),
            ..ObjectMeta::default()
        }
    }

    #[test]
    fn those_that_waited_longest_are_too_many() {
        let waiting = vec![
            idle("b", "2026-01-02T03:04:06Z"),
            idle("a", "2026-01-02T03:04:05Z"),
            idle("c", "2026-01-02T03:04:07Z"),
        ];
        let names = |surplus: Vec<ObjectMeta>| -> Vec<_> {
            surplus.into_iter().filter_map(|idle| idle.name).collect()
        };
        assert_eq!(names(surplus(waiting.clone(), 1)), ["b", "a"]);
        assert!(surplus(waiting.clone(), 3).is_empty());
        assert_eq!(surplus(waiting, 0).len(), 3);
    }
}
