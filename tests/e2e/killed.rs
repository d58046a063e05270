//! A test process that is killed at each moment of its life, its reaper too: the next run works, and nothing is left.

use std::{
    collections::BTreeSet,
    os::unix::process::ExitStatusExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, bail, ensure};
use e2e::soon;
use kube::Client;
use rstest::rstest;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use vcluster_harness::{
    cluster::VirtualCluster, fixture::Manifest, lease::Runs, settings::Settings, vcluster_test,
};

use crate::{
    child::{CLUSTER, Ended, Runner, announce, is_inner},
    moment::{self, MOMENT},
    reaper::wait_for_end_of,
    watcher::{self, host_client},
};

/// So that a start has this phase as well; and nobody else takes such a cluster.
const MARK: Manifest = Manifest {
    name: "mark",
    yaml: "{apiVersion: v1, kind: ConfigMap, metadata: {name: killed}}",
};

mod inner {
    use super::*;

    #[vcluster_test(fixtures = [MARK])]
    #[ignore = "run by another test"]
    async fn lives(cluster: VirtualCluster) -> anyhow::Result<()> {
        announce(&cluster)?;
        tracing::debug!("in the body");
        Ok(())
    }

    /// The same, until the moment at which it is killed. A reaper is started by the name of the test itself, and so has
    /// no such moment.
    #[test]
    #[ignore = "run by another test"]
    fn ends_at_a_moment() -> anyhow::Result<()> {
        if is_inner() {
            moment::end_at_it();
        }
        lives()
    }
}

/// What a test says as it goes on that has a new cluster and is the only one of its process.
const LIFE: [&str; 19] = [
    "has a host",
    "has a lease",
    "begun",
    "knows its images",
    "in the queue",
    "let in",
    "passed phase=namespace",
    "passed phase=address",
    "passed phase=objects",
    "passed phase=images",
    "passed phase=scheduled",
    "passed phase=containers",
    "passed phase=readyz",
    "passed phase=account",
    "passed phase=syncer",
    "passed phase=fixtures",
    "in the body",
    "deleting namespace=",
    "on its way out namespace=",
];

/// What it says when it leaves its cluster to the next test.
const LEAVING: [&str; 4] = [
    "passed phase=saved",
    "resetting",
    "as it was",
    "left to the next test",
];

/// What it says when it has one that was left.
const TAKING: [&str; 2] = ["claimed", "passed phase=taken"];

/// How often somebody else may be quicker.
const TRIES: usize = 5;

#[tokio::test]
async fn a_test_may_be_killed_at_any_moment_of_its_life() -> anyhow::Result<()> {
    let mut victims = Victims::new("off").await?;
    for moment in LIFE {
        let ended = victims.run(moment, &[])?;
        ensure!(is_killed(&ended), "not at `{moment}`:\n{}", ended.output);
    }
    victims.nothing_is_left().await
}

#[tokio::test]
async fn a_cluster_that_goes_from_test_to_test_may_lose_its_test_at_any_moment()
-> anyhow::Result<()> {
    let mut victims = Victims::new("4").await?;
    for moment in LEAVING {
        let ended = victims.run(moment, &[])?;
        ensure!(is_killed(&ended), "not at `{moment}`:\n{}", ended.output);
    }
    for moment in TAKING {
        victims.run_until_killed(moment, "left to the next test", &[])?;
    }
    victims.nothing_is_left().await
}

#[tokio::test]
async fn who_removes_what_others_left_may_be_killed_as_well() -> anyhow::Result<()> {
    let mut victims = Victims::new("off").await?;
    let without = [("VCLUSTER_TEST_REAPER", "0")];
    victims.run_until_killed("deleting a leftover", "in the body", &without)?;
    victims.nothing_is_left().await
}

#[rstest]
#[case::while_it_watches(None)]
#[case::when_the_test_is_gone(Some("the test process is gone"))]
#[case::while_it_deletes(Some("deleting namespaces="))]
#[case::when_it_has_deleted(Some("deleted elapsed="))]
#[tokio::test]
async fn a_reaper_may_be_killed(#[case] says: Option<&str>) -> anyhow::Result<()> {
    let cache = Settings::from_process()?.cache;
    let mut victims = Victims::new("off").await?;
    let loud = [("VCLUSTER_TEST_LOG", "vcluster_harness=debug")];
    let mut inner = Runner::Nextest.start("life::inner::waits", &loud)?;
    let session = inner.after("has a lease session=");
    let cluster = inner.cluster();
    let reaper = reaper_of(&cache, &session).context("it has no reaper")?;
    if let Some(words) = says {
        inner.kill_group();
        let log = Runs::new(&cache).directory(&session).join("reaper.log");
        let deadline = soon("the reaper's words");
        while !std::fs::read_to_string(&log).is_ok_and(|said| said.contains(words)) {
            ensure!(!deadline.is_over(), "the reaper did not say `{words}`");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        kill_process(reaper, Signal::KILL)?;
    } else {
        kill_process(reaper, Signal::KILL)?;
        inner.kill_group();
    }
    let ended = inner.end();
    ensure!(is_killed(&ended), "{}", ended.output);
    victims.add(&ended);
    assert!(victims.clusters.contains(&cluster));
    victims.nothing_is_left().await
}

/// Tests that were killed, and what would be left of them.
struct Victims {
    host: Client,
    cache: PathBuf,
    pool: &'static str,
    /// Where they put what is temporary.
    scratch: TempDir,
    /// Where their time line goes.
    artifacts: TempDir,
    pids: Vec<u32>,
    /// Those of tests that came to have one.
    sessions: Vec<String>,
    clusters: BTreeSet<String>,
}

impl Victims {
    async fn new(pool: &'static str) -> anyhow::Result<Self> {
        Ok(Self {
            host: host_client().await?,
            cache: Settings::from_process()?.cache,
            pool,
            scratch: tempfile::tempdir()?,
            artifacts: tempfile::tempdir()?,
            pids: Vec::new(),
            sessions: Vec::new(),
            clusters: BTreeSet::new(),
        })
    }

    /// Runs a test until it comes to this moment, or to its end.
    fn run(&mut self, moment: &str, more: &[(&str, &str)]) -> anyhow::Result<Ended> {
        let scratch = self.scratch.path().display().to_string();
        let artifacts = self.artifacts.path().display().to_string();
        let mut environment = vec![
            (MOMENT, moment),
            ("TMPDIR", &scratch),
            ("VCLUSTER_TEST_ARTIFACTS", &artifacts),
            ("VCLUSTER_TEST_POOL", self.pool),
            ("VCLUSTER_TEST_POOL_IDLE", "15s"),
        ];
        environment.extend(more);
        let inner = Runner::Nextest.start("killed::inner::ends_at_a_moment", &environment)?;
        let ended = inner.end();
        ensure!(
            ended.status.success() || is_killed(&ended),
            "{}",
            ended.output
        );
        self.add(&ended);
        Ok(ended)
    }

    /// Has one killed that finds what another one has left, which any process of this machine might find before it.
    fn run_until_killed(
        &mut self,
        moment: &str,
        left_at: &str,
        left_with: &[(&str, &str)],
    ) -> anyhow::Result<()> {
        for _ in 0..TRIES {
            self.run(left_at, left_with)?;
            if is_killed(&self.run(moment, &[])?) {
                return Ok(());
            }
        }
        bail!("none came to `{moment}`")
    }

    fn add(&mut self, ended: &Ended) {
        self.pids.push(ended.pid);
        self.sessions
            .extend(ended.word_after("has a lease session="));
        self.clusters.extend(ended.word_after(CLUSTER));
    }

    /// After one more run, which has to work, waits until nothing of all of them is left.
    async fn nothing_is_left(mut self) -> anyhow::Result<()> {
        let whole = self.run("never said", &[])?;
        ensure!(whole.status.success(), "{}", whole.output);
        let deadline = soon("nothing left");
        for session in &self.sessions {
            // A request that was under way when it was killed may still make something: only when the
            // reaper is done is it known that nothing comes.
            wait_for_end_of(session).await?;
            // One stays a while for what waits for its next test.
            while reaper_of(&self.cache, session).is_some() {
                ensure!(
                    !deadline.is_over(),
                    "the reaper of {session} is still there"
                );
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
        for pid in &self.pids {
            watcher::nothing_is_left(&self.host, *pid).await?;
            let place = format!("-{pid}.place");
            ensure!(!has_file(&self.cache.join("admission"), &place)?, "{place}");
        }
        for cluster in &self.clusters {
            watcher::is_gone(&self.host, cluster).await?;
        }
        watcher::no_rights_are_left(&self.host).await?;
        let temporary = std::fs::read_dir(self.scratch.path())?.next();
        ensure!(temporary.is_none(), "{temporary:?}");
        Ok(())
    }
}

fn is_killed(ended: &Ended) -> bool {
    ended.status.signal() == Some(Signal::KILL.as_raw())
}

fn has_file(directory: &Path, name_ends: &str) -> anyhow::Result<bool> {
    for entry in std::fs::read_dir(directory)? {
        if entry?.file_name().to_string_lossy().ends_with(name_ends) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The process that watches this session.
fn reaper_of(cache: &Path, session: &str) -> Option<Pid> {
    let directory = Runs::new(cache).directory(session);
    let wanted = format!("VCLUSTER_TEST_REAPER_LEASE={}", directory.display());
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let is_it = |pid: &i32| {
        let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        let mut words = environment.split(|byte| *byte == 0);
        words.any(|word| word == wanted.as_bytes())
    };
    pids.filter(is_it).find_map(Pid::from_raw)
}
