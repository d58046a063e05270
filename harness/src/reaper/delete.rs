//! Deletes clusters on a host, found by label.

use std::time::Duration;

use futures::future::try_join_all;
use k8s_openapi::{
    api::core::v1::{Namespace, Pod},
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use kube::{
    Api, Client,
    api::{DeleteParams, ListParams, Preconditions},
    runtime::{conditions, wait},
};
use tracing::{info, warn};

use crate::{deadline::Deadline, owner::key};

/// How long a host may be out of reach before it counts as gone.
const UNREACHABLE: Duration = Duration::from_secs(15);

/// Something that could not be deleted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DeleteError {
    /// The host does not list its namespaces.
    #[error("could not list the namespaces of the host")]
    List(#[source] kube::Error),
    /// One namespace.
    #[error("could not delete namespace {namespace} on host")]
    Namespace {
        /// Which.
        namespace: String,
        /// Why.
        source: kube::Error,
    },
    /// They are still there.
    #[error("{} still there after {:.0} s: {}", count(namespaces.len()), limit.as_secs_f64(), namespaces.join(", "))]
    StillThere {
        /// Which.
        namespaces: Vec<String>,
        /// How long it was waited.
        limit: Duration,
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
    remove(host, first, deadline).await?;
    tokio::time::sleep(in_flight.min(deadline.remaining())).await;
    let late = reach(host, &selector, deadline).await?;
    remove(host, late, deadline).await
}

/// Deletes one namespace and what runs in it; the host completes it. Not found is success, and so is
/// another namespace under the same name.
pub(super) async fn namespace(host: &Client, namespace: &Namespace) -> Result<(), DeleteError> {
    let name = namespace.metadata.name.clone().unwrap_or_default();
    let failed = |source| DeleteError::Namespace {
        namespace: name.clone(),
        source,
    };
    let only_this = DeleteParams::background().preconditions(Preconditions {
        uid: namespace.metadata.uid.clone(),
        resource_version: None,
    });
    let deleted = Api::<Namespace>::all(host.clone())
        .delete(&name, &only_this)
        .await;
    match deleted {
        Err(kube::Error::Api(status)) if status.is_not_found() || status.is_conflict() => {
            return Ok(());
        }
        Err(error) => return Err(failed(error)),
        Ok(_) => {}
    }
    // Nothing new appears in a namespace that ends; what is there need not take its grace period.
    let pods = Api::<Pod>::namespaced(host.clone(), &name);
    let at_once = DeleteParams::default().grace_period(1);
    match pods
        .delete_collection(&at_once, &ListParams::default())
        .await
    {
        Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
        Err(error) => Err(failed(error)),
        Ok(_) => Ok(()),
    }
}

/// Deletes a namespace by name, whichever it is.
pub(crate) async fn by_name(host: &Client, name: &str) -> Result<(), DeleteError> {
    let object = Namespace {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            ..ObjectMeta::default()
        },
        ..Namespace::default()
    };
    namespace(host, &object).await
}

async fn remove(
    host: &Client,
    namespaces: Vec<Namespace>,
    deadline: Deadline,
) -> Result<(), DeleteError> {
    if namespaces.is_empty() {
        return Ok(());
    }
    let names = names(&namespaces);
    info!(namespaces = names.join(" "), "deleting");
    try_join_all(namespaces.iter().map(|found| namespace(host, found))).await?;
    let gone = try_join_all(
        namespaces
            .iter()
            .map(|namespace| wait_until_gone(host, namespace)),
    );
    if let Ok(Ok(_)) = tokio::time::timeout(deadline.remaining(), gone).await {
        info!(elapsed = ?deadline.elapsed(), "deleted");
        Ok(())
    } else {
        Err(DeleteError::StillThere {
            namespaces: names,
            limit: deadline.limit(),
        })
    }
}

async fn wait_until_gone(host: &Client, namespace: &Namespace) -> Result<(), wait::Error> {
    let api = Api::<Namespace>::all(host.clone());
    let (Some(name), Some(uid)) = (&namespace.metadata.name, &namespace.metadata.uid) else {
        return Ok(());
    };
    wait::await_condition(api, name, conditions::is_deleted(uid))
        .await
        .map(drop)
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

/// The namespaces that match a selector and are not going already.
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

fn count(number: usize) -> String {
    match number {
        1 => "1 namespace".to_owned(),
        number => format!("{number} namespaces"),
    }
}
