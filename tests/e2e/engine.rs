//! An engine that is restarted, and a machine that goes dark, while clusters run.

use std::time::Duration;

use anyhow::ensure;
use e2e::soon;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{Api, api::ListParams};
use vcluster_harness::{
    cluster::{self, VirtualCluster},
    vcluster_test,
};

use crate::{
    child::{announce, is_inner},
    own_engine::OwnEngine,
    watcher::host_client,
};

/// How long a test may go on that has lost its host: its own limit, the search for the cause, clean-up.
const LIMIT: Duration = Duration::from_mins(3);

mod inner {
    use super::*;

    /// Asks for something all the time.
    #[vcluster_test(timeout = "10m")]
    #[ignore = "run by another test"]
    async fn uses_its_cluster(cluster: VirtualCluster) -> anyhow::Result<()> {
        announce(&cluster)?;
        let maps: Api<ConfigMap> = Api::default_namespaced(cluster.client());
        while is_inner() {
            maps.list(&ListParams::default()).await?;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }

    /// Waits for what never comes, and asks for nothing.
    #[vcluster_test(timeout = "40s")]
    #[ignore = "run by another test"]
    async fn notices_nothing(cluster: VirtualCluster) -> anyhow::Result<()> {
        announce(&cluster)?;
        if is_inner() {
            std::future::pending::<()>().await;
        }
        Ok(())
    }

    /// Waits until the host has no cluster.
    #[tokio::test]
    #[ignore = "run by another test"]
    async fn sees_nothing_left() -> anyhow::Result<()> {
        if !is_inner() {
            return Ok(());
        }
        let host = host_client().await?;
        let deadline = soon("nothing left");
        loop {
            let left = cluster::list(&host).await?;
            if left.is_empty() {
                return Ok(());
            }
            ensure!(!deadline.is_over(), "still there: {left:?}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

#[tokio::test]
#[ignore = "only root may start an engine, and its two minutes are the disk's: see docs/adr/025-faults.md"]
async fn after_a_restart_of_the_engine_tests_fail_with_the_cause_and_the_next_run_goes_on()
-> anyhow::Result<()> {
    let mut engine = OwnEngine::start().await?;
    works(&engine)?;
    let mut running = [
        engine.run("engine::inner::uses_its_cluster", &[])?,
        engine.run("engine::inner::notices_nothing", &[])?,
    ];
    for inner in &mut running {
        inner.cluster();
    }
    engine.power_off()?;
    engine.power_on().await?;
    for inner in running {
        let ended = inner.end_within(LIMIT);
        ensure!(!ended.status.success(), "{}", ended.output);
        let told = [
            "was started again",
            "is not running",
            "does not answer any more",
            "does not say within",
        ];
        let is_told = told.iter().any(|words| ended.output.contains(words));
        ensure!(is_told, "{}", ended.output);
    }
    works(&engine)?;

    // Nobody's clean-up survives that.
    let without = [("VCLUSTER_TEST_REAPER", "0")];
    let mut lost = engine.run("life::inner::waits", &without)?;
    lost.cluster();
    lost.kill_group();
    engine.lose_power()?;
    lost.end();
    engine.power_on().await?;
    works(&engine)
}

/// A test passes, and then nothing is left of any.
fn works(engine: &OwnEngine) -> anyhow::Result<()> {
    for test in ["life::inner::passes", "engine::inner::sees_nothing_left"] {
        let ended = engine.run(test, &[])?.end();
        ensure!(ended.status.success(), "{test}: {}", ended.output);
    }
    Ok(())
}
