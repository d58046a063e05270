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

/// What a test says as its start goes on, at which it is killed.
const MOMENTS: [&str; 9] = [
    "begun session=",
    "passed phase=namespace",
    "passed phase=address",
    "passed phase=objects",
    "passed phase=scheduled",
    "passed phase=containers",
    "passed phase=readyz",
    "passed phase=account",
    "passed phase=syncer",
];

#[tokio::test]
async fn a_test_may_be_killed_at_any_moment_of_its_start() -> anyhow::Result<()> {
    let host = host_client().await?;
    let loud = [("VCLUSTER_TEST_LOG", "vcluster_harness=debug")];
    let mut killed = Vec::new();
    for moment in MOMENTS {
        let mut inner = Runner::Nextest.start("life::inner::waits", &loud)?;
        let session = inner.after(MOMENTS[0]);
        inner.after(moment);
        inner.kill_group();
        killed.push((inner.pid(), session));
        inner.end();
    }
    let next = Runner::Nextest.start("life::inner::passes", &[])?.end();
    assert!(next.status.success(), "{}", next.output);
    for (pid, session) in killed {
        // A request that was under way when it was killed may still make something: only when the
        // reaper is done is it known that nothing comes.
        wait_for_end_of(&session).await?;
        watcher::nothing_is_left(&host, pid).await?;
    }
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
