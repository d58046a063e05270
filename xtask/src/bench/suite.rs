//! A hundred tests, as `cargo test` runs them: how long all of them take.

use std::{
    path::PathBuf,
    process::Stdio,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use k8s_openapi::api::core::v1::Namespace;
use kube::{Api, Client, ResourceExt as _, api::ListParams};
use tempfile::TempDir;
use tokio::process::Command;
use vcluster_harness::{
    cluster::{delete, wait_until_gone},
    deadline::Deadline,
    pool::{PoolState, keys},
};

use super::measurement::{Figures, Unit};
use crate::soak;

/// The suites of the end-to-end tests' program, and what each is called here.
const SUITES: [(&str, &str); 2] = [
    ("suite.api_100", "suite::api::"),
    ("suite.deployment_100", "suite::deployment::"),
];
/// What the program says when every test passed.
const ALL: &str = "test result: ok. 100 passed; 0 failed";

/// How long what was left may take to be gone.
const GONE: Duration = Duration::from_mins(2);

/// Measures both suites, each in a process of its own with a thread per processor, and each without a cluster that
/// another one has left.
pub(crate) async fn measure(host: &Client, figures: &mut Figures) -> anyhow::Result<()> {
    let program = soak::build_tests()?;
    let artifacts = tempfile::tempdir()?;
    for (name, filter) in SUITES {
        empty(host).await?;
        let called = Instant::now();
        run(&program, filter, &artifacts).await?;
        figures.add(name, Unit::Seconds, called.elapsed().as_secs_f64());
    }
    Ok(())
}

/// Deletes the clusters that wait for a test.
async fn empty(host: &Client) -> anyhow::Result<()> {
    let idle = format!("{}={}", keys::STATE, PoolState::Idle.name());
    let namespaces: Api<Namespace> = Api::all(host.clone());
    let parameters = ListParams::default().labels(&idle);
    for namespace in namespaces.list_metadata(&parameters).await?.items {
        let name = namespace.name_any();
        delete(host, &name).await?;
        wait_until_gone(host, &name, Deadline::after("gone", GONE)).await?;
    }
    Ok(())
}

async fn run(program: &PathBuf, suite: &str, artifacts: &TempDir) -> anyhow::Result<()> {
    let ended = Command::new(program)
        .args([suite, "--ignored"])
        // As for whoever sets nothing.
        .env_remove("VCLUSTER_TEST_POOL")
        .env_remove("RUST_TEST_THREADS")
        .env("VCLUSTER_TEST_ARTIFACTS", artifacts.path())
        .env("VCLUSTER_TEST_HOST_IDLE", "never")
        .env("NO_COLOR", "1")
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .with_context(|| format!("could not run {}", program.display()))?;
    let said = String::from_utf8_lossy(&ended.stdout);
    ensure!(
        ended.status.success() && said.contains(ALL),
        "the suite {suite} ended with {}:\n{said}{}",
        ended.status,
        String::from_utf8_lossy(&ended.stderr)
    );
    Ok(())
}
