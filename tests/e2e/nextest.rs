//! The real nextest: it ends what hangs, and what is ended takes its cluster along; attempts are told apart.

use std::{
    collections::BTreeSet,
    ffi::OsString,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use vcluster_harness::{
    cluster::{self, VirtualCluster},
    lease::{LeaseState, Runs},
    settings::Settings,
    timeline::{Kind, Timeline},
    vcluster_test,
};

use crate::{
    child::{CLUSTER, INNER, announce, is_inner},
    reaper::wait_for_end_of,
    watcher::host_client,
};

/// Says where cargo-nextest is; `cargo xtask` does.
const PROGRAM: &str = "VCLUSTER_E2E_NEXTEST";

/// What nextest says with when tests have failed.
const TESTS_FAILED: i32 = 100;

/// How long it waits for what hangs. Ended in the middle of its start, on a busy machine, it must leave nothing either.
const CONFIGURATION: &str = r#"
[profile.default]
fail-fast = false
success-output = "immediate"
failure-output = "immediate"
slow-timeout = { period = "25s", terminate-after = 1, grace-period = "10s" }
leak-timeout = { period = "2s", result = "fail" }

[[profile.default.overrides]]
filter = "test(passes_the_second_time)"
retries = 1
slow-timeout = { period = "5m", terminate-after = 1 }
"#;

mod inner {
    use super::*;

    #[vcluster_test(timeout = "10m")]
    #[ignore = "run by another test"]
    async fn hangs(cluster: VirtualCluster) -> anyhow::Result<()> {
        announce(&cluster)?;
        if is_inner() {
            std::future::pending::<()>().await;
        }
        Ok(())
    }

    #[vcluster_test]
    #[ignore = "run by another test"]
    async fn passes_the_second_time(cluster: VirtualCluster) -> anyhow::Result<()> {
        announce(&cluster)?;
        ensure!(!is_inner() || std::env::var("NEXTEST_ATTEMPT")? == "2");
        Ok(())
    }
}

#[tokio::test]
async fn what_hangs_is_ended_and_every_attempt_has_a_cluster_of_its_own() -> anyhow::Result<()> {
    let host = host_client().await?;
    let scratch = tempfile::tempdir()?;
    let said = nextest(scratch.path()).await?;
    let told = |words: &str| said.lines().filter(|line| line.contains(words)).count();
    ensure!(told("TIMEOUT") > 0, "nothing was ended:\n{said}");
    ensure!(told("LEAK") == 0, "a process was left behind:\n{said}");
    ensure!(told("TRY 2 PASS") == 1, "{said}");

    let clusters = words_after(&said, CLUSTER);
    ensure!(clusters.len() >= 2, "{said}");
    let sessions = words_after(&said, "begun session=");
    ensure!(sessions.len() == 3, "{said}");
    for session in &sessions {
        wait_for_end_of(session).await?;
    }
    let left = cluster::list(&host).await?;
    let is_theirs = |record: &cluster::ClusterRecord| {
        let owner = record.owner.as_ref();
        owner.is_some_and(|owner| sessions.contains(&owner.session))
    };
    ensure!(!left.iter().any(is_theirs), "{left:?}");
    let runs = Runs::new(&Settings::from_process()?.cache);
    assert!(
        sessions
            .iter()
            .all(|session| runs.state(session) == LeaseState::Missing)
    );

    let runs = std::fs::read_dir(scratch.path().join("artifacts"))?;
    let runs: Vec<PathBuf> = runs
        .map(|entry| Ok(entry?.path()))
        .collect::<std::io::Result<_>>()?;
    let run = runs.iter().find(|run| !run.is_symlink());
    let events = Timeline::read(run.context("no run")?)?.events.into_iter();
    let tests: BTreeSet<String> = events
        .filter(|event| event.kind == Kind::Test)
        .filter_map(|event| Some(event.test?.rsplit_once("::")?.1.to_owned()))
        .collect();
    let expected = [
        "hangs",
        "passes_the_second_time",
        "passes_the_second_time-attempt-2",
    ];
    assert_eq!(tests, expected.map(str::to_owned).into());
    Ok(())
}

/// Runs the inner tests of this program under nextest, and gives what it says.
async fn nextest(scratch: &Path) -> anyhow::Result<String> {
    let program = std::env::var_os(PROGRAM).unwrap_or_else(|| "cargo-nextest".into());
    let artifacts = scratch.join("artifacts");
    let output = tokio::process::Command::new(&program)
        .args(["nextest", "run", "--color", "never", "--config-file"])
        .arg(configuration(scratch)?)
        .arg("--cargo-metadata")
        .arg(packages(scratch).await?)
        .arg("--binaries-metadata")
        .arg(programs(scratch)?)
        .args(["--run-ignored", "only", "--filterset"])
        .arg("test(/^nextest::inner::/)")
        .env_clear()
        .envs(surroundings())
        .env(INNER, "1")
        .env("VCLUSTER_TEST_ARTIFACTS", artifacts)
        .env("VCLUSTER_TEST_HOST_IDLE", "never")
        .env("VCLUSTER_TEST_LOG", "vcluster_harness=debug")
        .stdin(std::process::Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .with_context(|| {
            format!(
                "could not run {}; `cargo xtask e2e` builds cargo-nextest, or install it",
                program.display()
            )
        })?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.code() == Some(TESTS_FAILED), "{said}");
    Ok(said)
}

/// Those of this process but for what the run around it was told.
fn surroundings() -> impl Iterator<Item = (OsString, OsString)> {
    std::env::vars_os().filter(|(name, _)| {
        let name = name.to_string_lossy();
        let told = ["_KEEP", "_POOL", "_RUN"].map(|end| format!("VCLUSTER_TEST{end}"));
        !name.starts_with("NEXTEST") && !told.iter().any(|other| *other == name)
    })
}

fn configuration(scratch: &Path) -> anyhow::Result<PathBuf> {
    let store = json!(scratch.join("store"));
    write(
        scratch,
        "nextest.toml",
        &format!("[store]\ndir = {store}\n{CONFIGURATION}"),
    )
}

/// What cargo says of this workspace.
async fn packages(scratch: &Path) -> anyhow::Result<PathBuf> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = tokio::process::Command::new(cargo)
        .args(["metadata", "--format-version", "1", "--offline"])
        // What only other platforms need was never fetched on a new machine.
        .arg("--filter-platform")
        .arg(format!("{}-unknown-linux-gnu", std::env::consts::ARCH))
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .await?;
    ensure!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    write(scratch, "packages.json", &String::from_utf8(output.stdout)?)
}

/// This program as the only one, so that nothing is built.
fn programs(scratch: &Path) -> anyhow::Result<PathBuf> {
    let packages: Value = serde_json::from_slice(&std::fs::read(scratch.join("packages.json"))?)?;
    let all = packages["packages"].as_array().context("no packages")?;
    let this = all.iter().find(|package| package["name"] == "e2e");
    let programs = json!({
        "rust-build-meta": {
            "target-directory": packages["target_directory"],
            "base-output-directories": [],
            "non-test-binaries": {},
            "linked-paths": [],
        },
        "rust-binaries": {
            "e2e::e2e": {
                "binary-id": "e2e::e2e",
                "binary-name": "e2e",
                "package-id": this.context("no package of this name")?["id"],
                "kind": "test",
                "binary-path": std::env::current_exe()?,
                "build-platform": "target",
            },
        },
    });
    write(scratch, "programs.json", &programs.to_string())
}

fn write(scratch: &Path, name: &str, content: &str) -> anyhow::Result<PathBuf> {
    let path = scratch.join(name);
    std::fs::write(&path, content)?;
    Ok(path)
}

/// Each word that was said after these, once.
fn words_after(said: &str, words: &str) -> BTreeSet<String> {
    let after = said.lines().filter_map(|line| line.split_once(words));
    let words = after.filter_map(|(_, rest)| rest.split_whitespace().next());
    words
        .map(|word| word.trim_matches('"').to_owned())
        .collect()
}
