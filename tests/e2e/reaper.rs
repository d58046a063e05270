//! What a test leaves that was killed: its reaper takes it, and if there is none, the next test does.

use std::time::Duration;

use vcluster_harness::{
    deadline::Deadline,
    lease::{LeaseState, Runs},
    settings::Settings,
};

use crate::{
    child::Runner,
    watcher::{self, host_client},
};

/// Waits until the reaper of a session is done: then nobody holds its lease, and its directory is gone.
pub(crate) async fn wait_for_end_of(session: &str) -> anyhow::Result<()> {
    let runs = Runs::new(&Settings::from_process()?.cache);
    let deadline = Deadline::after("reaper", Duration::from_mins(2));
    while runs.state(session) != LeaseState::Missing {
        anyhow::ensure!(!deadline.is_over(), "the reaper of {session} has not ended");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

#[tokio::test]
async fn of_two_tests_only_what_the_killed_one_had_is_removed() -> anyhow::Result<()> {
    let host = host_client().await?;
    let mut killed = Runner::CargoTest.start("life::inner::waits", &[])?;
    let mut other = Runner::Nextest.start("life::inner::waits", &[])?;
    let (lost, left) = (killed.cluster(), other.cluster());
    let (_, session) = watcher::owner(&host, &lost).await?;
    killed.kill_group();
    killed.end();
    wait_for_end_of(&session.expect("a running test has a session")).await?;
    watcher::is_gone(&host, &lost).await?;
    assert!(watcher::stays(&host, &left).await?);
    other.kill_group();
    other.end();
    Ok(())
}

#[tokio::test]
async fn the_next_test_removes_what_nobody_else_does() -> anyhow::Result<()> {
    let host = host_client().await?;
    let without = [("VCLUSTER_TEST_REAPER", "0")];
    let mut killed = Runner::Nextest.start("life::inner::waits", &without)?;
    let cluster = killed.cluster();
    killed.kill_group();
    killed.end();
    let next = Runner::Nextest
        .start("life::inner::passes", &without)?
        .end();
    assert!(next.status.success(), "{}", next.output);
    assert!(!watcher::stays(&host, &cluster).await?, "{}", next.output);
    Ok(())
}
