//! A test process that is asked to end takes its clusters along, unless they are to be kept.
//!
//! Endings within the process are in `attribute`, those from which it cannot recover in `reaper`.

use std::{
    os::unix::process::ExitStatusExt as _,
    time::{Duration, Instant},
};

use rstest::rstest;
use rustix::process::Signal;
use vcluster_harness::{cluster::VirtualCluster, vcluster_test};

use crate::{
    child::{Runner, announce, is_inner, parent_is_gone},
    watcher::{self, host_client},
};

/// nextest's grace period after SIGTERM.
const GRACE: Duration = Duration::from_secs(10);

/// Tests to be ended, and one that ends.
mod inner {
    use super::*;

    #[vcluster_test]
    #[ignore = "run by another test"]
    async fn passes(cluster: VirtualCluster) -> anyhow::Result<()> {
        announce(&cluster)
    }

    #[vcluster_test]
    #[ignore = "run by another test"]
    async fn panics(cluster: VirtualCluster) -> anyhow::Result<()> {
        announce(&cluster)?;
        assert!(!is_inner(), "as it should");
        Ok(())
    }

    #[vcluster_test(timeout = "10m")]
    #[ignore = "run by another test"]
    async fn waits(cluster: VirtualCluster) -> anyhow::Result<()> {
        announce(&cluster)?;
        if is_inner() {
            parent_is_gone().await;
        }
        Ok(())
    }
}

#[rstest]
#[case::interrupt(Runner::CargoTest, Signal::INT)]
#[case::terminate(Runner::Nextest, Signal::TERM)]
#[tokio::test]
async fn after_a_signal_nothing_is_left(
    #[case] runner: Runner,
    #[case] signal: Signal,
) -> anyhow::Result<()> {
    let host = host_client().await?;
    let mut inner = runner.start("life::inner::waits", &[("VCLUSTER_TEST_REAPER", "0")])?;
    let cluster = inner.cluster();
    let started = Instant::now();
    inner.signal(signal);
    let ended = inner.end();
    assert!(started.elapsed() < GRACE, "{:?}", started.elapsed());
    assert_eq!(
        ended.status.signal(),
        Some(signal.as_raw()),
        "{}",
        ended.output
    );
    assert!(
        ended.output.contains("deleting 1 cluster"),
        "{}",
        ended.output
    );
    assert!(!watcher::stays(&host, &cluster).await?, "{}", ended.output);
    Ok(())
}

#[tokio::test]
async fn a_cluster_of_a_failed_test_is_kept_when_asked_for() -> anyhow::Result<()> {
    let host = host_client().await?;
    let keep = [("VCLUSTER_TEST_KEEP", "failed")];
    let mut inner = Runner::Nextest.start("life::inner::panics", &keep)?;
    let cluster = inner.cluster();
    let (_, session) = watcher::owner(&host, &cluster).await?;
    let ended = inner.end();
    // Its reaper comes by, and finds nothing that it may take.
    crate::reaper::wait_for_end_of(&session.expect("a running test has a session")).await?;
    assert!(watcher::stays(&host, &cluster).await?, "{}", ended.output);
    assert!(ended.output.contains(&cluster), "{}", ended.output);
    let (owner, session) = watcher::owner(&host, &cluster).await?;
    let owner = owner.expect("it has an owner");
    assert_eq!((owner.process, session), (None, None));
    assert!(owner.expires_at.is_some());
    Ok(vcluster_harness::cluster::delete(&host, &cluster).await?)
}
