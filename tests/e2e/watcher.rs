//! Looks at the host from outside of the tests that use it.

use std::{collections::BTreeSet, time::Duration};

use k8s_openapi::{
    ClusterResourceScope,
    api::{
        core::v1::Namespace,
        rbac::v1::{ClusterRole, ClusterRoleBinding},
    },
};
use kube::{Api, Client, Resource, ResourceExt as _, api::ListParams};
use serde::de::DeserializeOwned;
use vcluster_harness::{
    asset::Assets,
    cluster::{self, ClusterRecord},
    deadline::Deadline,
    host,
    owner::{Owner, key},
    progress::Progress,
    settings::Settings,
};

/// How long the host may take to complete a deletion. More than the target, for a busy machine.
const GONE: Duration = Duration::from_mins(1);

/// A client of the shared host.
pub(crate) async fn host_client() -> anyhow::Result<Client> {
    let settings = Settings::from_process()?;
    let progress = Progress::lines();
    let assets = Assets::new(&settings, progress.clone());
    let host = host::shared(&settings, &assets, &progress).await?;
    Ok(host.client().await?)
}

/// The clusters of one process.
async fn of_process(host: &Client, pid: u32) -> anyhow::Result<Vec<ClusterRecord>> {
    let mut records = cluster::list(host).await?;
    records.retain(|record| {
        let owner = record.owner.as_ref();
        owner.is_some_and(|owner| crate::child::is_of(owner, pid))
    });
    Ok(records)
}

/// Waits until the host has nothing of a process left.
pub(crate) async fn nothing_is_left(host: &Client, pid: u32) -> anyhow::Result<()> {
    let deadline = Deadline::after("nothing left", GONE);
    loop {
        let left = of_process(host, pid).await?;
        if left.is_empty() {
            return Ok(());
        }
        anyhow::ensure!(!deadline.is_over(), "still there: {left:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Waits until a namespace and all in it are gone.
pub(crate) async fn is_gone(host: &Client, namespace: &str) -> anyhow::Result<()> {
    let deadline = Deadline::after("namespace", GONE);
    Ok(cluster::wait_until_gone(host, namespace, deadline).await?)
}

/// Waits until no rights are left that were there now and whose cluster was gone already.
pub(crate) async fn no_rights_are_left(host: &Client) -> anyhow::Result<()> {
    are_gone::<ClusterRoleBinding>(host).await?;
    are_gone::<ClusterRole>(host).await
}

async fn are_gone<K>(host: &Client) -> anyhow::Result<()>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + std::fmt::Debug,
    K: k8s_openapi::Resource<Scope = ClusterResourceScope>,
{
    let deadline = Deadline::after("rights without a cluster", GONE);
    let mut left = orphans::<K>(host).await?;
    while !left.is_empty() {
        anyhow::ensure!(!deadline.is_over(), "still there: {left:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
        let now = orphans::<K>(host).await?;
        left.retain(|name| now.contains(name));
    }
    Ok(())
}

/// The names of cluster-wide objects whose cluster is gone.
async fn orphans<K>(host: &Client) -> anyhow::Result<BTreeSet<String>>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + std::fmt::Debug,
    K: k8s_openapi::Resource<Scope = ClusterResourceScope>,
{
    let ours = ListParams::default().labels(key::CLUSTER);
    let found = Api::<K>::all(host.clone()).list(&ours).await?;
    let namespaces = Api::<Namespace>::all(host.clone());
    let namespaces = namespaces.list_metadata(&ours).await?;
    let clusters: BTreeSet<_> = namespaces
        .iter()
        .filter_map(|namespace| namespace.labels().get(key::CLUSTER))
        .collect();
    let is_orphan = |object: &K| {
        let label = object.labels().get(key::CLUSTER);
        label.is_some_and(|cluster| !clusters.contains(cluster))
    };
    let orphans = found.into_iter().filter(is_orphan);
    Ok(orphans.map(|object| object.name_any()).collect())
}

/// Whether a cluster stays: there, and not about to go.
pub(crate) async fn stays(host: &Client, namespace: &str) -> anyhow::Result<bool> {
    let found = Api::<Namespace>::all(host.clone())
        .get_opt(namespace)
        .await?;
    Ok(found.is_some_and(|found| found.metadata.deletion_timestamp.is_none()))
}

/// The owner of a cluster, and the session whose reaper would take it.
pub(crate) async fn owner(
    host: &Client,
    namespace: &str,
) -> anyhow::Result<(Option<Owner>, Option<String>)> {
    let found = Api::<Namespace>::all(host.clone()).get(namespace).await?;
    let labels = found.metadata.labels.as_ref();
    let session = labels.and_then(|labels| labels.get(key::SESSION).cloned());
    Ok((Owner::of(&found.metadata)?, session))
}
