//! The start of a cluster for a test that is alone: when it passes each of its phases, and when its client is there.

use std::time::{Duration, Instant};

use vcluster_harness::{cluster::VirtualCluster, deadline::Deadline};

use super::{
    cluster::{Bench, owner},
    measurement::{Figures, Unit},
};

/// How long one may take to be gone, so that the next does not share the processors with it.
const GONE: Duration = Duration::from_mins(2);

impl Bench<'_> {
    /// Measures one start, and deletes the cluster.
    pub(crate) async fn measure_start(
        &self,
        name: &str,
        figures: &mut Figures,
    ) -> anyhow::Result<()> {
        let called = Instant::now();
        let builder = VirtualCluster::builder(name).owner(owner()?);
        let cluster = Box::pin(builder.start(self.host, self.assets)).await?;
        let usable = called.elapsed();
        for (phase, elapsed) in cluster.phases().iter() {
            figures.add(
                &format!("start.{phase}"),
                Unit::Seconds,
                elapsed.as_secs_f64(),
            );
        }
        figures.add("start.usable", Unit::Seconds, usable.as_secs_f64());
        cluster.delete().await?;
        Ok(cluster
            .wait_until_gone(Deadline::after("gone", GONE))
            .await?)
    }
}
