//! What is one run of tests: all processes that somebody started with one command.

use std::sync::LazyLock;

use jiff::{Timestamp, tz::TimeZone};
use sysinfo::{Pid, ProcessRefreshKind, ProcessesToUpdate, System};

use super::artifacts::file_name;
use crate::settings::Environment;

/// The name of the run that this process belongs to: what `VCLUSTER_TEST_RUN` says, nextest's run, the
/// `cargo test` that started this process and its siblings, or this process alone.
pub(super) fn run_id(env: &impl Environment) -> String {
    static BY_CARGO: LazyLock<Option<String>> = LazyLock::new(|| {
        let parent = rustix::process::getppid()?.as_raw_nonzero().get();
        of_cargo(u32::try_from(parent).ok()?)
    });
    static THIS_PROCESS: LazyLock<String> =
        LazyLock::new(|| name(Timestamp::now(), std::process::id()));
    ["VCLUSTER_TEST_RUN", "NEXTEST_RUN_ID"]
        .into_iter()
        .find_map(|variable| env.get(variable))
        .map(|id| file_name(&id))
        .or_else(|| BY_CARGO.clone())
        .unwrap_or_else(|| THIS_PROCESS.clone())
}

/// The run of the cargo with this process id, which all its children name alike.
fn of_cargo(pid: u32) -> Option<String> {
    let id = Pid::from_u32(pid);
    let mut system = System::new().ok()?;
    system.refresh_processes_specifics(
        ProcessesToUpdate::Some(&[id]),
        true,
        ProcessRefreshKind::nothing(),
    );
    let parent = system.process(id)?;
    if parent.name() != "cargo" {
        return None;
    }
    let started = i64::try_from(parent.start_time()).ok()?;
    Some(name(Timestamp::from_second(started).ok()?, pid))
}

/// Sorted by time, and told apart.
fn name(began: Timestamp, pid: u32) -> String {
    let began = began.to_zoned(TimeZone::UTC);
    format!("{}-{pid}", began.strftime("%Y%m%dT%H%M%S"))
}

#[cfg(test)]
mod tests {
    use std::{
        os::unix::process::CommandExt as _,
        process::{Command, Stdio},
    };

    use super::*;

    #[test]
    fn a_run_of_nextest_is_one_run_unless_somebody_says_otherwise() {
        let nextest = ("NEXTEST_RUN_ID", "abc-1");
        assert_eq!(run_id(&[nextest]), "abc-1");
        assert_eq!(run_id(&[nextest, ("VCLUSTER_TEST_RUN", "ci/7")]), "ci_7");
        assert_eq!(run_id(&[]), run_id(&[]));
    }

    #[test]
    fn of_all_parents_only_cargo_makes_a_run() {
        // A process takes its name from its program, and here the program is called cargo.
        let directory = tempfile::tempdir().unwrap();
        let program = directory.path().join("cargo");
        let sleep = ["/bin/sleep", "/usr/bin/sleep"]
            .into_iter()
            .find(|path| std::path::Path::new(path).exists())
            .unwrap();
        std::os::unix::fs::symlink(sleep, &program).unwrap();
        let mut cargo = Command::new(&program)
            .arg0("sleep")
            .arg("60")
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let run = of_cargo(cargo.id());
        cargo.kill().and_then(|()| cargo.wait()).unwrap();
        let run = run.unwrap();
        assert!(run.ends_with(&format!("-{}", cargo.id())), "{run}");
        assert_eq!(of_cargo(std::process::id()), None);
    }
}
