//! Runs tests under cargo-nextest, a process for each, and counts them.

use std::path::Path;

use vcluster_harness::settings::Settings;

use crate::{
    arguments::TestArguments,
    summary::Summary,
    test_run::{self, Counts, Says},
    workspace,
};

/// Tells test programs where nextest is: there are tests about it.
pub(crate) const PROGRAM: &str = "VCLUSTER_E2E_NEXTEST";

const TITLE: &str = "tests under nextest";

/// All tests, or those that match.
pub(crate) fn all(
    program: &Path,
    arguments: &TestArguments,
    settings: &Settings,
    summary: &mut Summary,
) -> anyhow::Result<()> {
    let profile = if settings.ci { "ci" } else { "default" };
    let mut tests = command(program, profile);
    if arguments.hermetic {
        let host = workspace::NEED_HOST.map(|package| format!("package({package})"));
        let others = format!("not ({})", host.join(" | "));
        tests.args(["--filterset", &others]);
    }
    test_run::step(TITLE, tests, SAYS, arguments, summary)?;
    test_run::documents(arguments, summary)?;
    test_run::publish_timeline(settings, &run_name());
    Ok(())
}

/// Tests of which each goes on with the cluster of another one, in another process.
const HANDED_ON: &str = "package(e2e) & test(/^suite::api::tens_0?1_/)";

/// All tests once more, which shows that none depends on a process for many of them.
pub(crate) fn again(
    program: &Path,
    settings: &Settings,
    summary: &mut Summary,
) -> anyhow::Result<()> {
    let arguments = TestArguments::default();
    let tests = command(program, "ci");
    test_run::step(TITLE, tests, SAYS, &arguments, summary)?;
    let mut handed_on = command(program, "ci");
    handed_on
        .args(["--run-ignored", "only", "--filterset", HANDED_ON])
        .env("VCLUSTER_TEST_POOL", "on");
    let title = "handed on under nextest";
    test_run::step(title, handed_on, SAYS, &arguments, summary)?;
    test_run::publish_timeline(settings, &run_name());
    Ok(())
}

/// nextest's own words go to standard error.
const SAYS: Says = Says::OnError(count);

fn command(program: &Path, profile: &str) -> std::process::Command {
    let mut tests = test_run::in_workspace(std::process::Command::new(program), &run_name());
    tests
        .args(["nextest", "run", "--workspace", "--tests"])
        .args(["--no-fail-fast", "--no-tests", "pass", "--color", "never"])
        .args(["--profile", profile])
        .env(PROGRAM, program);
    tests
}

/// Bundles of one test under two runners are told apart.
fn run_name() -> String {
    test_run::run_name() + "-nextest"
}

/// Adds what its last line says: `Summary [   1.203s] 9 tests run: 7 passed (1 slow), 1 failed, 1 timed out, 4 skipped`.
fn count(counts: &mut Counts, line: &str) {
    let Some((_, results)) = line
        .trim_start()
        .strip_prefix("Summary [")
        .and_then(|rest| rest.split_once(" run: "))
    else {
        return;
    };
    for part in results.split(", ") {
        let Some((number, what)) = part.split_once(' ') else {
            continue;
        };
        // Notes in brackets are about some of those.
        let Ok(number) = number.parse::<u64>() else {
            continue;
        };
        let what = what.split(" (").next().unwrap_or(what);
        match what {
            "passed" => counts.passed += number,
            "failed" | "exec failed" | "timed out" => counts.failed += number,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::good("     Summary [   0.051s] 3 tests run: 3 passed, 4 skipped", (3, 0))]
    #[case::notes("Summary [ 12.0s] 9 tests run: 7 passed (2 slow, 1 flaky), 1 failed (1 due to being leaky), 1 timed out, 0 skipped", (7, 2))]
    #[case::another_line("        PASS [   0.051s] summary 3 tests run: 3 passed", (0, 0))]
    fn the_last_line_is_counted(#[case] line: &str, #[case] (passed, failed): (u64, u64)) {
        let mut counts = Counts::default();
        count(&mut counts, line);
        assert_eq!((counts.passed, counts.failed), (passed, failed));
    }
}
