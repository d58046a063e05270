//! Deletes a virtual cluster: the host completes it. The one way, for tests, reaper and command line.

use k8s_openapi::{
    api::{
        core::v1::{Namespace, Pod},
        rbac::v1::{ClusterRole, ClusterRoleBinding},
    },
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
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
    /// The host does not list its clusters.
    #[error("could not list the clusters of the host")]
    List(#[source] kube::Error),
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
    let this = |metadata: &ObjectMeta| Preconditions {
        uid: metadata.uid.clone(),
        resource_version: None,
    };
    match find(host, namespace).await? {
        Some(found) => begin(host, namespace, &found, this(&found)).await.map(drop),
        None => Ok(()),
    }
}

/// Deletes the cluster in `namespace` if what its namespace says is `still` so when the deletion begins:
/// another process may take it at any moment. Says whether it goes.
pub(crate) async fn delete_if(
    host: &Client,
    namespace: &str,
    still: impl Fn(&ObjectMeta) -> bool,
) -> Result<bool, DeleteError> {
    while let Some(found) = find(host, namespace).await? {
        if !still(&found) {
            return Ok(false);
        }
        if found.deletion_timestamp.is_some() {
            return Ok(true);
        }
        let exactly_this = Preconditions {
            uid: found.uid.clone(),
            resource_version: found.resource_version.clone(),
        };
        if begin(host, namespace, &found, exactly_this).await? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// What the namespace says; `None` when there is none or it is about to go.
async fn find(host: &Client, namespace: &str) -> Result<Option<ObjectMeta>, DeleteError> {
    let namespaces: Api<Namespace> = Api::all(host.clone());
    let found = namespaces
        .get_metadata_opt(namespace)
        .await
        .map_err(failed("read the owner", namespace))?;
    Ok(found.map(|found| found.metadata))
}

/// Begins the deletion; false when the preconditions are not met.
async fn begin(
    host: &Client,
    namespace: &str,
    found: &ObjectMeta,
    preconditions: Preconditions,
) -> Result<bool, DeleteError> {
    let label = |key: &str| found.labels.as_ref()?.get(key);
    let is_ours = label(key::MANAGED_BY).is_some_and(|by| by == key::MANAGED_BY_US);
    let Some(cluster) = label(key::CLUSTER).filter(|_| is_ours) else {
        return Err(DeleteError::NotOurs {
            namespace: namespace.to_owned(),
        });
    };
    tracing::debug!(namespace, "deleting");
    // The namespace first: nothing new appears in one that ends. Only this one, not a successor.
    let this = DeleteParams::background().preconditions(preconditions);
    let namespaces: Api<Namespace> = Api::all(host.clone());
    match namespaces.delete(namespace, &this).await {
        Err(kube::Error::Api(status)) if status.code == 404 => return Ok(true),
        Err(kube::Error::Api(status)) if status.code == 409 => return Ok(false),
        other => other
            .map(drop)
            .map_err(failed("begin the deletion", namespace))?,
    }
    tracing::debug!(namespace, "on its way out");
    let selector = format!("{}={cluster}", key::CLUSTER);
    let pods: Api<Pod> = Api::namespaced(host.clone(), namespace);
    let soon = DeleteParams::default().grace_period(GRACE_SECONDS);
    tokio::try_join!(
        collection(&pods, &soon, ListParams::default()),
        // The garbage collector would take these too, some time later.
        rights::<ClusterRoleBinding>(host, &selector),
        rights::<ClusterRole>(host, &selector),
    )
    .map_err(failed("delete the contents", namespace))?;
    Ok(true)
}

fn failed(action: &'static str, namespace: &str) -> impl FnOnce(kube::Error) -> DeleteError {
    let namespace = namespace.to_owned();
    move |source| DeleteError::Request {
        action,
        namespace,
        source,
    }
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
    let read = || failed("read the state", namespace);
    let Some(found) = namespaces.get_opt(namespace).await.map_err(read())? else {
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
                    .map_err(read())?
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
