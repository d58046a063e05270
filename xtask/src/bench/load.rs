//! A syncer at rest and with a thousand pods: what it uses, and how much of a pod's way to the host is
//! its own time, as it counts itself.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, ResourceExt, core::Request};
use vcluster_harness::{cluster::VirtualCluster, deadline::Deadline};

use super::{
    exposition::Exposition,
    measurement::{Figures, Unit},
    objects,
    sightings::Sightings,
    sync::create_at_pace,
};

/// How many pods.
const PODS: usize = 1000;
/// How long a quiet cluster is looked at.
const QUIET: Duration = Duration::from_secs(30);
/// How long it may take until all pods are on the host.
const PATIENCE: Duration = Duration::from_mins(5);
/// How long after the start, and after the load, a cluster is given to come to rest.
const REST: Duration = Duration::from_secs(15);

/// From the news of a pod to the request for its twin.
const DECISION: &str = "vcluster_syncer_decision_seconds";
const OF_NEW_PODS: &str = "controller=\"Pod\",step=\"create-host\"";

/// Measures one cluster that nothing was made in yet.
pub(crate) async fn measure(
    cluster: &VirtualCluster,
    image: &str,
    figures: &mut Figures,
) -> anyhow::Result<()> {
    tokio::time::sleep(REST).await;
    let (busy, writes) = (cpu(cluster).await?, writes(cluster).await?);
    let start = Instant::now();
    tokio::time::sleep(QUIET).await;
    let used = cpu(cluster).await? - busy;
    let percent = 100.0 * used / start.elapsed().as_secs_f64();
    figures.add("sync.quiet_cpu", Unit::Percent, percent);
    let written = self::writes(cluster).await? - writes;
    figures.add("sync.quiet_writes", Unit::Requests, written);
    add_memory("sync.quiet_memory", cluster, figures).await?;

    add_pods(cluster, image, figures).await?;
    let seen = observe(cluster).await?;
    for (name, quantile) in [("sync.own_p50", 0.5), ("sync.own_p99", 0.99)] {
        let seconds = seen
            .quantile(DECISION, OF_NEW_PODS, quantile)
            .context("the syncer counted no new pods")?;
        figures.add(name, Unit::Milliseconds, seconds * 1000.0);
    }
    tokio::time::sleep(REST).await;
    add_memory("sync.loaded_memory", cluster, figures).await
}

/// Makes pods at a hundred a second, and tells when their twins were seen.
async fn add_pods(
    cluster: &VirtualCluster,
    image: &str,
    figures: &mut Figures,
) -> anyhow::Result<()> {
    let on_virtual: Api<Pod> = Api::default_namespaced(cluster.client());
    let on_host: Api<Pod> = Api::namespaced(cluster.host_client(), cluster.namespace());
    let pods: Vec<Pod> = (0..PODS)
        .map(|number| objects::gated(&format!("load-{number}"), image))
        .collect();
    let names: Vec<String> = pods.iter().map(ResourceExt::name_any).collect();
    let twins: Vec<String> = names
        .iter()
        .map(|name| cluster.host_key("default", name).name)
        .collect();
    let before = Sightings::watch(on_virtual.clone()).await?;
    let after = Sightings::watch(on_host).await?;
    create_at_pace(&on_virtual, &pods).await?;
    let deadline = Deadline::after("sync", PATIENCE);
    let before = before.of(&names, deadline).await?;
    let after = after.of(&twins, deadline).await?;
    for (before, after) in before.into_iter().zip(after) {
        let latency = after.saturating_duration_since(before);
        figures.add(
            "sync.thousand_pods",
            Unit::Milliseconds,
            latency.as_secs_f64() * 1000.0,
        );
    }
    Ok(())
}

async fn cpu(cluster: &VirtualCluster) -> anyhow::Result<f64> {
    let seen = observe(cluster).await?;
    seen.value("process_cpu_seconds_total")
        .context("the syncer does not tell its time")
}

/// How many requests that change something it has sent.
async fn writes(cluster: &VirtualCluster) -> anyhow::Result<f64> {
    let seen = observe(cluster).await?;
    Ok(seen.sum("vcluster_syncer_write_seconds_count"))
}

async fn add_memory(
    name: &str,
    cluster: &VirtualCluster,
    figures: &mut Figures,
) -> anyhow::Result<()> {
    let bytes = observe(cluster)
        .await?
        .value("process_resident_memory_bytes")
        .context("the syncer does not tell its memory")?;
    figures.add(name, Unit::Megabytes, bytes / 1e6);
    Ok(())
}

/// What the syncer tells of itself, through the host's API.
async fn observe(cluster: &VirtualCluster) -> anyhow::Result<Exposition> {
    let pods = format!("/api/v1/namespaces/{}/pods", cluster.namespace());
    let port = format!("{}-0:8080", cluster.name());
    let request = Request::new(pods).get_subresource("proxy/metrics", &port)?;
    let text = cluster.host_client().request_text(request).await?;
    Ok(Exposition::parse(&text))
}
