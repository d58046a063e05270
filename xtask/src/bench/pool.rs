//! Clusters that go from test to test: how soon the next test has one, and what a reset costs.

use std::time::{Duration, Instant};

use futures::{StreamExt as _, TryStreamExt as _, stream};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use kube::{Api, api::PostParams};
use vcluster_harness::{
    cluster::{Phase, VirtualCluster},
    pool::{Pool, Since},
};

use super::{
    cluster::{Bench, owner},
    measurement::{Figures, Unit},
    objects,
};

/// How often one cluster is given back and taken again.
const TURNS: usize = 10;
/// How many objects are there to be taken away.
const OBJECTS: usize = 500;
/// How many of them are made at a time.
const CONCURRENCY: usize = 16;
const POOL: Pool = Pool {
    size: 1,
    idle: Duration::from_mins(1),
    reset: Duration::from_secs(20),
    since: Since::First,
};

impl Bench<'_> {
    /// Measures one cluster of the pool and deletes it, also when something failed.
    pub(crate) async fn measure_pool(
        &self,
        name: &str,
        figures: &mut Figures,
    ) -> anyhow::Result<()> {
        let cluster = self.take(name).await?;
        let measured = reset(&cluster, figures).await;
        cluster.delete().await?;
        measured?;

        let mut cluster = self.take(name).await?;
        for _ in 0..TURNS {
            cluster.give_back().await?;
            let called = Instant::now();
            cluster = self.take(name).await?;
            Api::<Namespace>::all(cluster.client())
                .get("default")
                .await?;
            let elapsed = called.elapsed();
            // One that was not handed on is a new one, whose start is measured elsewhere.
            if cluster.phases().get(Phase::Taken).is_some() {
                figures.add("pool.client_ready", Unit::Seconds, elapsed.as_secs_f64());
            }
        }
        Ok(cluster.delete().await?)
    }

    async fn take(&self, name: &str) -> anyhow::Result<VirtualCluster> {
        let builder = VirtualCluster::builder(name).owner(owner()?).pooled(POOL);
        Ok(Box::pin(builder.start(self.host, self.assets)).await?)
    }
}

async fn reset(cluster: &VirtualCluster, figures: &mut Figures) -> anyhow::Result<()> {
    cluster.save_state().await?;
    let maps: Api<ConfigMap> = Api::default_namespaced(cluster.client());
    stream::iter(0..OBJECTS)
        .map(async |number| {
            let map = objects::config_map(&format!("map-{number}"));
            maps.create(&PostParams::default(), &map).await
        })
        .buffer_unordered(CONCURRENCY)
        .try_collect::<Vec<_>>()
        .await?;
    let reset = cluster.reset().await?;
    for (name, took) in [
        ("reset.store_500", reset.store_took),
        ("reset.all_500", reset.took),
    ] {
        figures.add(name, Unit::Seconds, took.as_secs_f64());
    }
    Ok(())
}
