//! A hundred tests, as `cargo test` runs them: how long all of them take.

use std::{path::PathBuf, process::Stdio, time::Instant};

use anyhow::{Context as _, ensure};
use tempfile::TempDir;
use tokio::process::Command;

use super::measurement::{Figures, Unit};
use crate::soak;

/// The suites of the end-to-end tests' program, and what each is called here.
const SUITES: [(&str, &str); 2] = [
    ("suite.api_100", "suite::api::"),
    ("suite.deployment_100", "suite::deployment::"),
];
/// What the program says when every test passed.
const ALL: &str = "test result: ok. 100 passed; 0 failed";

/// Measures both suites, each in a process of its own with a thread per processor.
pub(crate) async fn measure(figures: &mut Figures) -> anyhow::Result<()> {
    let program = soak::build_tests()?;
    let artifacts = tempfile::tempdir()?;
    for (name, filter) in SUITES {
        let called = Instant::now();
        run(&program, filter, &artifacts).await?;
        figures.add(name, Unit::Seconds, called.elapsed().as_secs_f64());
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
