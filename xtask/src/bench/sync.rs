//! How long after an object is in the virtual cluster its twin is on the host.

use std::{fmt::Debug, time::Duration};

use anyhow::ensure;
use futures::future::try_join_all;
use k8s_openapi::{
    NamespaceResourceScope,
    api::core::v1::{ConfigMap, Pod},
};
use kube::{
    Api, Resource, ResourceExt,
    api::{DeleteParams, ListParams, PostParams},
};
use serde::{Serialize, de::DeserializeOwned};
use tokio::time::{Instant, sleep, sleep_until};
use vcluster_harness::{cluster::VirtualCluster, deadline::Deadline};

use super::{
    measurement::{Figures, Unit},
    objects,
    sightings::Sightings,
};

/// How many objects of a kind.
const OBJECTS: usize = 50;
/// A hundred a second.
const PACE: Duration = Duration::from_millis(10);

/// Measures config maps and pods.
pub(crate) async fn measure(
    cluster: &VirtualCluster,
    image: &str,
    figures: &mut Figures,
) -> anyhow::Result<()> {
    let names: Vec<String> = (0..OBJECTS)
        .map(|number| format!("bench-{number}"))
        .collect();

    // Only config maps that a pod uses are synced.
    let reader = objects::reader("reader", image, &names);
    add_latencies(
        "sync.reader",
        cluster,
        vec![reader],
        &mut Figures::default(),
    )
    .await?;
    let config_maps: Vec<ConfigMap> = names.iter().map(|name| objects::config_map(name)).collect();
    add_latencies("sync.config_map", cluster, config_maps, figures).await?;

    let pods: Vec<Pod> = names
        .iter()
        .map(|name| objects::pending(name, image))
        .collect();
    add_latencies("sync.pod_create", cluster, pods, figures).await?;
    clean_up(cluster).await
}

/// Removes the pods: the end of a cluster is measured with the one that runs.
async fn clean_up(cluster: &VirtualCluster) -> anyhow::Result<()> {
    let pending = ListParams::default().fields("status.phase=Pending");
    let at_once = DeleteParams::default().grace_period(0);
    let on_virtual: Api<Pod> = Api::default_namespaced(cluster.client());
    on_virtual.delete_collection(&at_once, &pending).await?;
    let on_host: Api<Pod> = Api::namespaced(cluster.host_client(), cluster.namespace());
    let deadline = Deadline::after("clean-up", Duration::from_mins(1));
    while let left = on_host.list_metadata(&pending).await?.items.len()
        && left > 0
    {
        ensure!(
            !deadline.is_over(),
            "{left} pods of the benchmark stay on the host"
        );
        sleep(Duration::from_millis(100)).await;
    }
    Ok(())
}

async fn add_latencies<K>(
    name: &str,
    cluster: &VirtualCluster,
    objects: Vec<K>,
    figures: &mut Figures,
) -> anyhow::Result<()>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    K: Clone + Debug + DeserializeOwned + Serialize + Send + Sync + 'static,
{
    let virtual_api: Api<K> = Api::default_namespaced(cluster.client());
    let host_api: Api<K> = Api::namespaced(cluster.host_client(), cluster.namespace());
    let on_virtual = Sightings::watch(virtual_api.clone()).await?;
    let on_host = Sightings::watch(host_api).await?;

    let names: Vec<String> = objects.iter().map(ResourceExt::name_any).collect();
    let twins: Vec<String> = names
        .iter()
        .map(|name| cluster.host_key("default", name).name)
        .collect();
    create_at_pace(&virtual_api, &objects).await?;

    let deadline = Deadline::after("sync", Duration::from_mins(1));
    let before = on_virtual.of(&names, deadline).await?;
    let after = on_host.of(&twins, deadline).await?;
    for (before, after) in before.into_iter().zip(after) {
        let latency = after.saturating_duration_since(before);
        figures.add(name, Unit::Milliseconds, latency.as_secs_f64() * 1000.0);
    }
    Ok(())
}

/// Each at its time, whether or not the one before has been answered.
pub(super) async fn create_at_pace<K>(api: &Api<K>, objects: &[K]) -> kube::Result<()>
where
    K: Clone + Debug + DeserializeOwned + Serialize,
{
    let begin = Instant::now();
    let mut at = begin;
    let creates = objects.iter().map(|object| {
        let due = at;
        at += PACE;
        async move {
            sleep_until(due).await;
            api.create(&PostParams::default(), object).await
        }
    });
    try_join_all(creates).await.map(drop)
}
