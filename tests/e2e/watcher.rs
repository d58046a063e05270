//! Looks at the host from outside of the tests that use it.

use std::time::Duration;

use k8s_openapi::api::core::v1::Namespace;
use kube::{Api, Client};
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
