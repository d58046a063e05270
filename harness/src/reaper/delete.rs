//! Deletes what a session left on a host, and makes sure that it is gone.

use std::time::Duration;

use futures::future::join_all;
use k8s_openapi::{api::core::v1::Namespace, apimachinery::pkg::apis::meta::v1::ObjectMeta};
use kube::{Api, Client, api::ListParams};
use tracing::{info, warn};

use crate::{cluster, deadline::Deadline, owner::key};

/// How long a host may be out of reach before it counts as gone.
const UNREACHABLE: Duration = Duration::from_secs(15);

/// Something that could not be deleted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DeleteError {
    /// The host does not list its namespaces.
    #[error("could not list the namespaces of the host")]
    List(#[source] kube::Error),
    /// Some clusters stay.
    #[error("{count} of {of} clusters could not be deleted")]
    Clusters {
        /// How many stay.
        count: usize,
        /// How many there were.
        of: usize,
        /// What happened to the first of them.
        #[source]
        first: cluster::DeleteError,
    },
}

/// Deletes all that carries the session's label and waits until it is gone. Looks once more after
/// `in_flight`, for what a dying process had just asked for.
pub(super) async fn session(
    host: &Client,
    session: &str,
    in_flight: Duration,
    deadline: Deadline,
) -> Result<(), DeleteError> {
    let selector = format!("{}={session}", key::SESSION);
    let first = reach(host, &selector, deadline).await?;
    remove(host, session, first, deadline).await?;
    tokio::time::sleep(in_flight.min(deadline.remaining())).await;
    let late = reach(host, &selector, deadline).await?;
    remove(host, session, late, deadline).await
}

/// Deletes all of them side by side, whatever becomes of the others, and waits until they are gone.
async fn remove(
    host: &Client,
    session: &str,
    namespaces: Vec<Namespace>,
    deadline: Deadline,
) -> Result<(), DeleteError> {
    let names = names(&namespaces);
    if names.is_empty() {
        return Ok(());
    }
    info!(namespaces = names.join(" "), "deleting");
    // What the process has given back with its last words may be another's by now.
    let is_its = |metadata: &ObjectMeta| {
        let labels = metadata.labels.as_ref();
        labels
            .and_then(|labels| labels.get(key::SESSION))
            .is_some_and(|label| label == session)
    };
    let ends = join_all(names.iter().map(async |name| {
        if !cluster::delete_if(host, name, is_its).await? {
            return Ok(());
        }
        cluster::wait_until_gone(host, name, deadline).await
    }));
    let of = names.len();
    let mut failures: Vec<_> = ends.await.into_iter().filter_map(Result::err).collect();
    if failures.is_empty() {
        info!(elapsed = ?deadline.elapsed(), "deleted");
        return Ok(());
    }
    Err(DeleteError::Clusters {
        count: failures.len(),
        of,
        first: failures.swap_remove(0),
    })
}

/// A host that restarts comes back; one that was removed does not.
async fn reach(
    host: &Client,
    selector: &str,
    deadline: Deadline,
) -> Result<Vec<Namespace>, DeleteError> {
    let reachable = deadline.step("host", UNREACHABLE);
    let mut pause = Duration::from_millis(100);
    loop {
        match list(host, selector).await {
            Err(DeleteError::List(error)) if !is_answer(&error) && !reachable.is_over() => {
                warn!(%error, "the host does not answer");
            }
            result => return result,
        }
        tokio::time::sleep(pause.min(reachable.remaining())).await;
        pause *= 2;
    }
}

/// The namespaces that match a selector, also those that are going already.
pub(super) async fn list(host: &Client, selector: &str) -> Result<Vec<Namespace>, DeleteError> {
    let params = ListParams::default().labels(selector);
    let list = Api::<Namespace>::all(host.clone())
        .list(&params)
        .await
        .map_err(DeleteError::List)?;
    Ok(list.items)
}

fn is_answer(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(_))
}

fn names(namespaces: &[Namespace]) -> Vec<String> {
    namespaces
        .iter()
        .filter_map(|namespace| namespace.metadata.name.clone())
        .collect()
}
