//! The second net: what the labels on a host say is nobody's any more.

use std::{
    collections::BTreeSet,
    sync::{Mutex, PoisonError},
};

use futures::{StreamExt as _, stream};
use k8s_openapi::{api::core::v1::Namespace, apimachinery::pkg::apis::meta::v1::ObjectMeta};
use kube::Client;
use tracing::{info, warn};

use super::delete::{self, DeleteError};
use crate::{
    cluster,
    lease::Runs,
    owner::{Evidence, Owner, Place, Presence, Verdict, clock, judge, key, presence},
    settings::Settings,
};

/// Looks over hosts for clusters of dead owners.
#[derive(Debug, Clone)]
pub struct Reaper {
    runs: Runs,
    here: Place,
}

/// A cluster that may be deleted.
#[derive(Debug, Clone, PartialEq)]
pub struct Leftover {
    /// Its namespace on the host.
    pub namespace: String,
    /// Whose it was.
    pub owner: Owner,
    /// Why it may go.
    pub verdict: Verdict,
}

/// A sweep that could not be finished.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SweepError {
    /// The host cannot be looked over.
    #[error("could not look for leftovers on host")]
    Survey(#[source] DeleteError),
    /// Some leftovers stay.
    #[error("could not delete {count} of {of} leftovers")]
    Delete {
        /// How many stay.
        count: usize,
        /// How many there were.
        of: usize,
        /// What happened to the first of them.
        #[source]
        first: cluster::DeleteError,
    },
}

impl Reaper {
    /// A reaper that knows the leases in this user's cache.
    pub fn new(settings: &Settings) -> Self {
        Self {
            runs: Runs::new(&settings.cache),
            here: Place::here(),
        }
    }

    /// What could be deleted, without touching it.
    ///
    /// # Errors
    /// The host does not answer.
    pub async fn survey(&self, host: &Client) -> Result<Vec<Leftover>, SweepError> {
        let selector = format!(
            "{}={},{}",
            key::MANAGED_BY,
            key::MANAGED_BY_US,
            key::CLUSTER
        );
        let found = delete::list(host, &selector)
            .await
            .map_err(SweepError::Survey)?;
        let now = clock::host_now(host).await;
        let is_going = |object: &Namespace| object.metadata.deletion_timestamp.is_some();
        Ok(found
            .into_iter()
            .filter(|object| !is_going(object))
            .filter_map(|object| self.leftover(&object, now))
            .collect())
    }

    /// Deletes what nobody owns any more and returns it; the host completes the deletion.
    ///
    /// # Errors
    /// The host does not answer, or refuses.
    pub async fn sweep(&self, host: &Client) -> Result<Vec<Leftover>, SweepError> {
        let leftovers = self.survey(host).await?;
        let of = leftovers.len();
        let outcomes: Vec<_> = stream::iter(leftovers)
            .map(async |leftover| {
                info!(
                    namespace = leftover.namespace,
                    reason = %leftover.verdict,
                    "deleting a leftover"
                );
                // One that waited for its next test may have it now.
                let is_still = |metadata: &ObjectMeta| {
                    Owner::of(metadata).is_ok_and(|owner| owner.as_ref() == Some(&leftover.owner))
                };
                let goes = cluster::delete_if(host, &leftover.namespace, is_still).await?;
                Ok(goes.then_some(leftover))
            })
            .buffered(8)
            .collect()
            .await;
        if let Err(error) = self.runs.remove_dead() {
            warn!(%error, "old leases stay");
        }
        let (mut removed, mut failures) = (Vec::new(), Vec::new());
        for outcome in outcomes {
            match outcome {
                Ok(leftover) => removed.extend(leftover),
                Err(error) => failures.push(error),
            }
        }
        let count = failures.len();
        match failures.into_iter().next() {
            None => Ok(removed),
            Some(first) => Err(SweepError::Delete { count, of, first }),
        }
    }

    /// What has no readable owner is not ours to judge.
    fn leftover(&self, object: &Namespace, now: jiff::Timestamp) -> Option<Leftover> {
        let owner = match Owner::of(&object.metadata) {
            Ok(owner) => owner?,
            Err(error) => {
                warn!(%error, "left alone");
                return None;
            }
        };
        let evidence = Evidence {
            lease: self.runs.state(&owner.session),
            presence: owner
                .process
                .map_or(Presence::Nobody, |process| presence(process.pid)),
        };
        let verdict = judge(&owner, &self.here, evidence, now);
        verdict.is_final().then(|| Leftover {
            namespace: object.metadata.name.clone().unwrap_or_default(),
            owner,
            verdict,
        })
    }
}

/// Hosts that this process has swept.
static SWEPT: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

/// Sweeps a host unless this process has done so before. A sweep is no reason for a test to fail:
/// errors are logged.
pub async fn sweep_once(settings: &Settings, host_name: &str, host: &Client) -> Vec<Leftover> {
    let is_first = SWEPT
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .insert(host_name.to_owned());
    if !is_first {
        return Vec::new();
    }
    Reaper::new(settings)
        .sweep(host)
        .await
        .unwrap_or_else(|error| {
            warn!(error = %error, host = host_name, "leftovers stay for the next sweep");
            Vec::new()
        })
}
