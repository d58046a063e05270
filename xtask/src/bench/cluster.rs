//! The life of a virtual cluster: start, first pod, memory, sync, end.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api,
    api::{ListParams, PostParams},
};
use vcluster_harness::{
    asset::Assets,
    cluster::{Phase, VirtualCluster},
    deadline::Deadline,
    engine::Engine,
    host::HostCluster,
    owner::{Owner, Process},
    wait::{self, conditions},
};

use super::{
    load,
    measurement::{Figures, Unit},
    memory, objects, sync,
};

/// How long a new cluster rests before its memory is read: what the start needed is given back by then.
pub(super) const REST: Duration = Duration::from_secs(5);

/// What every cluster of a benchmark needs.
#[derive(Debug)]
pub(crate) struct Bench<'a> {
    pub(crate) engine: &'a Engine,
    pub(crate) host: &'a HostCluster,
    pub(crate) assets: &'a Assets,
    /// An image with a shell that is on the host.
    pub(crate) image: &'a str,
}

impl Bench<'_> {
    /// Measures one cluster and deletes it, also when something failed.
    pub(crate) async fn measure(&self, name: &str, figures: &mut Figures) -> anyhow::Result<()> {
        let called = Instant::now();
        let cluster = VirtualCluster::builder(name)
            .owner(owner()?)
            .start(self.host, self.assets);
        let cluster = Box::pin(cluster).await?;
        let measured = Box::pin(self.measure_life(&cluster, called, figures)).await;
        let ended = measure_end(&cluster, figures).await;
        measured.and(ended)
    }

    /// Measures the syncer of one cluster, and deletes the cluster also when something failed.
    pub(crate) async fn measure_load(
        &self,
        name: &str,
        figures: &mut Figures,
    ) -> anyhow::Result<()> {
        let cluster = VirtualCluster::builder(name)
            .owner(owner()?)
            .start(self.host, self.assets);
        let cluster = Box::pin(cluster).await?;
        let measured = Box::pin(load::measure(&cluster, self.image, figures)).await;
        let ended = cluster.delete().await;
        measured.and(ended.map_err(Into::into))
    }

    async fn measure_life(
        &self,
        cluster: &VirtualCluster,
        called: Instant,
        figures: &mut Figures,
    ) -> anyhow::Result<()> {
        let mut passed = |name: &str, elapsed: Duration| {
            figures.add(name, Unit::Seconds, elapsed.as_secs_f64());
        };
        for (name, phase) in [
            ("vcluster.readyz", Phase::Ready),
            ("vcluster.default_service_account", Phase::Account),
        ] {
            let elapsed = cluster.phases().get(phase);
            passed(
                name,
                elapsed.with_context(|| format!("the start has no phase {phase}"))?,
            );
        }
        let pods: Api<Pod> = Api::default_namespaced(cluster.client());
        let first = objects::sleeper("first", self.image);
        pods.create(&PostParams::default(), &first).await?;
        passed("vcluster.first_pod_created", called.elapsed());
        let deadline = Deadline::after("first pod", Duration::from_mins(1));
        wait::until(&pods, "first", conditions::is_pod_ready(), deadline).await?;
        passed("vcluster.first_pod_running", called.elapsed());

        tokio::time::sleep(REST).await;
        self.measure_memory(cluster, figures).await?;
        sync::measure(cluster, self.image, figures).await
    }

    async fn measure_memory(
        &self,
        cluster: &VirtualCluster,
        figures: &mut Figures,
    ) -> anyhow::Result<()> {
        let resident = self.resident(cluster).await?;
        for (process, megabytes) in &resident {
            figures.add(&format!("memory.{process}"), Unit::Megabytes, *megabytes);
        }
        let total = resident.values().sum();
        figures.add("memory.total", Unit::Megabytes, total);
        Ok(())
    }

    /// Resident megabytes by program, of all processes of a control plane.
    pub(super) async fn resident(
        &self,
        cluster: &VirtualCluster,
    ) -> anyhow::Result<BTreeMap<String, f64>> {
        let pods: Api<Pod> = Api::namespaced(cluster.host_client(), cluster.namespace());
        let selector = format!("vcluster-test.dev/control-plane={}", cluster.name());
        let pod = pods
            .list(&ListParams::default().labels(&selector))
            .await?
            .items
            .pop()
            .context("the control plane has no pod")?;
        let node = pod
            .spec
            .and_then(|spec| spec.node_name)
            .context("the control plane's pod has no node")?;
        let uid = pod
            .metadata
            .uid
            .context("the control plane's pod has no uid")?;
        let processes = memory::read(self.engine.docker(), &node, &uid).await?;
        let megabytes = |kibibytes: u32| f64::from(kibibytes) * 1024.0 / 1e6;
        let processes = processes.into_iter();
        Ok(processes
            .map(|(process, kibibytes)| (process, megabytes(kibibytes)))
            .collect())
    }
}

/// Should this process be killed, any later sweep takes its clusters.
pub(super) fn owner() -> anyhow::Result<Owner> {
    let in_an_hour = Timestamp::now().checked_add(SignedDuration::from_hours(1))?;
    Ok(Owner {
        process: Some(Process::this()),
        expires_at: Some(in_an_hour),
        ..Owner::standing()
    })
}

async fn measure_end(cluster: &VirtualCluster, figures: &mut Figures) -> anyhow::Result<()> {
    let called = Instant::now();
    cluster.delete().await?;
    let returned = called.elapsed();
    cluster
        .wait_until_gone(Deadline::after("gone", Duration::from_mins(2)))
        .await?;
    let gone = called.elapsed();
    figures.add(
        "vcluster.delete_returns",
        Unit::Seconds,
        returned.as_secs_f64(),
    );
    figures.add("vcluster.gone", Unit::Seconds, gone.as_secs_f64());
    Ok(())
}
