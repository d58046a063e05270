//! Deletes a virtual cluster: the host completes it. The one way, for tests, reaper and command line.

use k8s_openapi::{
    api::{
        core::v1::{Namespace, Pod},
        rbac::v1::{ClusterRole, ClusterRoleBinding},
    },
    serde::de::DeserializeOwned,
};
use kube::{
    Api, Client, Resource,
    api::{DeleteParams, ListParams, Preconditions},
    runtime::{conditions, wait},
};

use crate::{deadline::Deadline, owner::key, wait::last_seen};

/// A container that ignores its end is killed after so many seconds.
const GRACE_SECONDS: u32 = 1;

/// A cluster that could not be deleted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DeleteError {
    /// The host refused a request.
    #[error("could not {action} of namespace {namespace} on host")]
    Request {
        /// What was asked for.
        action: &'static str,
        /// The cluster's namespace.
        namespace: String,
        /// The refusal.
        source: kube::Error,
    },
    /// Somebody else's namespace.
    #[error("namespace {namespace} does not belong to a virtual cluster of ours")]
    NotOurs {
        /// The namespace.
        namespace: String,
    },
    /// The watch on it ended.
    #[error("could not watch namespace {namespace} on host")]
    Watch {
        /// The namespace.
        namespace: String,
        /// Why.
        source: Box<wait::Error>,
    },
    /// It is still there.
    #[error("namespace {namespace} is still there after {:.0} s; last seen: {last_seen}", limit.as_secs_f64())]
    StillThere {
        /// The namespace.
        namespace: String,
        /// How long it was waited.
        limit: std::time::Duration,
        /// Its state.
        last_seen: String,
    },
}

/// Deletes the cluster in `namespace` and returns when the host is at it. Twice is the same as once,
/// and a cluster that was never finished is deleted just so.
///
/// # Errors
/// The host refuses, or the namespace is not one of ours.
pub async fn delete(host: &Client, namespace: &str) -> Result<(), DeleteError> {
    let failed = |action| {
        move |source| DeleteError::Request {
            action,
            namespace: namespace.to_owned(),
            source,
        }
    };
    let namespaces: Api<Namespace> = Api::all(host.clone());
    let found = namespaces
        .get_metadata_opt(namespace)
        .await
        .map_err(failed("read the owner"))?;
    let Some(found) = found else { return Ok(()) };
    let labels = found.metadata.labels.unwrap_or_default();
    let is_ours = labels
        .get(key::MANAGED_BY)
        .is_some_and(|by| by == key::MANAGED_BY_US);
    let Some(cluster) = labels.get(key::CLUSTER).filter(|_| is_ours) else {
        return Err(DeleteError::NotOurs {
            namespace: namespace.to_owned(),
        });
    };
    // The namespace first: nothing new appears in one that ends. Only this one, not a successor.
    let this = DeleteParams::background().preconditions(Preconditions {
        uid: found.metadata.uid,
        resource_version: None,
    });
    match namespaces.delete(namespace, &this).await {
        Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => return Ok(()),
        other => other.map(drop).map_err(failed("begin the deletion"))?,
    }
    let selector = format!("{}={cluster}", key::CLUSTER);
    let pods: Api<Pod> = Api::namespaced(host.clone(), namespace);
    let soon = DeleteParams::default().grace_period(GRACE_SECONDS);
    tokio::try_join!(
        collection(&pods, &soon, ListParams::default()),
        // The garbage collector would take these too, some time later.
        rights::<ClusterRoleBinding>(host, &selector),
        rights::<ClusterRole>(host, &selector),
    )
    .map(drop)
    .map_err(failed("delete the contents"))
}

/// Waits until nothing of the cluster in `namespace` is left.
///
/// # Errors
/// Something is left when the deadline passes.
pub async fn wait_until_gone(
    host: &Client,
    namespace: &str,
    deadline: Deadline,
) -> Result<(), DeleteError> {
    let namespaces: Api<Namespace> = Api::all(host.clone());
    let failed = |source| DeleteError::Request {
        action: "read the state",
        namespace: namespace.to_owned(),
        source,
    };
    let Some(found) = namespaces.get_opt(namespace).await.map_err(failed)? else {
        return Ok(());
    };
    let uid = found.metadata.uid.unwrap_or_default();
    let gone = wait::await_condition(namespaces.clone(), namespace, conditions::is_deleted(&uid));
    match tokio::time::timeout_at(deadline.instant(), gone).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(source)) => Err(DeleteError::Watch {
            namespace: namespace.to_owned(),
            source: Box::new(source),
        }),
        Err(_) => Err(DeleteError::StillThere {
            namespace: namespace.to_owned(),
            limit: deadline.limit(),
            last_seen: last_seen(
                namespaces
                    .get_opt(namespace)
                    .await
                    .map_err(failed)?
                    .as_ref(),
            ),
        }),
    }
}

async fn rights<K>(host: &Client, selector: &str) -> Result<(), kube::Error>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + std::fmt::Debug,
{
    let all: Api<K> = Api::all(host.clone());
    let ours = ListParams::default().labels(selector);
    collection(&all, &DeleteParams::background(), ours).await
}

/// Not found is success: the namespace, or the whole host, may be ahead of us.
async fn collection<K>(
    api: &Api<K>,
    how: &DeleteParams,
    which: ListParams,
) -> Result<(), kube::Error>
where
    K: Clone + DeserializeOwned + std::fmt::Debug,
{
    match api.delete_collection(how, &which).await {
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        other => other.map(drop),
    }
}
