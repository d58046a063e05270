//! Runs the tests under `cargo test` and counts them.

use std::{
    io::{BufRead as _, BufReader, Read, Write as _},
    path::Path,
    process::{Command, Stdio},
    sync::LazyLock,
};

use jiff::Timestamp;
use vcluster_harness::{
    diagnostics::Artifacts,
    settings::Settings,
    timeline::{self, PublishError, ReadError},
};

use crate::{
    arguments::TestArguments,
    nextest, process,
    summary::{Outcome, Summary},
    workspace::{self, TestPrograms},
};

/// Says to test programs which run they belong to.
const RUN: &str = "VCLUSTER_TEST_RUN";

/// What the test programs of one step reported together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    pub(crate) ignored: u64,
}

/// Unit tests, integration tests and examples in documents: nothing but this process.
pub(crate) fn hermetic(arguments: &TestArguments, summary: &mut Summary) -> anyhow::Result<()> {
    let TestPrograms { hermetic, .. } = workspace::test_programs()?;
    let mut tests = test_command();
    tests.args(["--lib", "--bins"]);
    for name in &hermetic {
        tests.args(["--test", name]);
    }
    step("hermetic tests", tests, SAYS, arguments, summary)?;
    documents(arguments, summary)
}

/// Examples in documents, which `cargo test` alone can run.
pub(crate) fn documents(arguments: &TestArguments, summary: &mut Summary) -> anyhow::Result<()> {
    let mut documents = test_command();
    documents.arg("--doc");
    step("documentation tests", documents, SAYS, arguments, summary)
}

/// The tests that need a host; some are about nextest.
pub(crate) fn with_host(
    nextest: &Path,
    arguments: &TestArguments,
    settings: &Settings,
    summary: &mut Summary,
) -> anyhow::Result<()> {
    let TestPrograms { need_host, .. } = workspace::test_programs()?;
    let mut tests = test_command();
    for name in &need_host {
        tests.args(["--test", name]);
    }
    tests.env(nextest::PROGRAM, nextest);
    step("tests on a host", tests, SAYS, arguments, summary)?;
    publish_timeline(settings, &run_name());
    Ok(())
}

/// The run that all test programs of this command belong to.
pub(crate) fn run_name() -> String {
    static NAME: LazyLock<String> = LazyLock::new(|| {
        let now = Timestamp::now().strftime("%Y%m%dT%H%M%S");
        std::env::var(RUN).unwrap_or_else(|_| format!("{now}-{}", std::process::id()))
    });
    NAME.clone()
}

/// Makes the page of the time line that the tests wrote, and says where it is.
pub(crate) fn publish_timeline(settings: &Settings, run: &str) {
    let run = Artifacts::root_around(settings, workspace::root()).join(run);
    let text = match timeline::publish(&run) {
        Ok(published) => format!("time line: {}", published.page.display()),
        // Tests that were all filtered out write none.
        Err(PublishError::Read(ReadError::Missing { .. })) => return,
        Err(error) => format!("no page of the time line: {:#}", anyhow::Error::from(error)),
    };
    drop(writeln!(std::io::stdout(), "{text}"));
}

/// Always the whole workspace with programs picked by name: picking packages would change the features
/// of dependencies and so build them again.
fn test_command() -> Command {
    let mut cargo = in_workspace(workspace::cargo(), &run_name());
    cargo.args(["test", "--workspace", "--no-fail-fast"]);
    cargo
}

/// A runner, to be run at the root, of tests that belong to this run.
pub(crate) fn in_workspace(mut runner: Command, run: &str) -> Command {
    // Where a panic came from helps; where an error was made of another one hides what it says.
    if std::env::var_os("RUST_LIB_BACKTRACE").is_none() {
        runner.env("RUST_LIB_BACKTRACE", "0");
    }
    runner.current_dir(workspace::root()).env(RUN, run);
    runner
}

/// Where a runner says how tests went, and how a line of that is counted.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Says {
    OnOutput(fn(&mut Counts, &str)),
    OnError(fn(&mut Counts, &str)),
}

const SAYS: Says = Says::OnOutput(Counts::add);

pub(crate) fn step(
    name: &'static str,
    mut command: Command,
    says: Says,
    arguments: &TestArguments,
    summary: &mut Summary,
) -> anyhow::Result<()> {
    command.args(&arguments.filter);
    if !arguments.passed_on.is_empty() {
        command.arg("--").args(&arguments.passed_on);
    }
    summary.step(name, || {
        command.stdin(Stdio::null());
        match says {
            Says::OnOutput(_) => command.stdout(Stdio::piped()),
            Says::OnError(_) => command.stderr(Stdio::piped()),
        };
        let mut child = command
            .spawn()
            .map_err(|source| process::start_error(&command, source))?;
        let counts = match says {
            Says::OnOutput(count) => pass_on(child.stdout.take(), count),
            Says::OnError(count) => pass_on(child.stderr.take(), count),
        }?;
        let status = child.wait()?;
        Ok(Outcome::Tests(counts, status.success()))
    })
}

/// Shows what a runner says, and counts.
fn pass_on(said: Option<impl Read>, count: fn(&mut Counts, &str)) -> anyhow::Result<Counts> {
    let mut counts = Counts::default();
    for line in said
        .into_iter()
        .flat_map(|said| BufReader::new(said).split(b'\n'))
    {
        let line = line?;
        let mut out = std::io::stdout().lock();
        out.write_all(&line)?;
        out.write_all(b"\n")?;
        count(&mut counts, &String::from_utf8_lossy(&line));
    }
    Ok(counts)
}

impl Counts {
    /// Adds what a test program's last line says: `test result: ok. 3 passed; 0 failed; 1 ignored; …`.
    fn add(&mut self, line: &str) {
        let Some(result) = line.strip_prefix("test result: ") else {
            return;
        };
        let numbers = result.split_once(". ").map_or("", |(_, numbers)| numbers);
        for part in numbers.split("; ") {
            let Some((number, what)) = part.split_once(' ') else {
                continue;
            };
            let number: u64 = number.parse().unwrap_or(0);
            match what {
                "passed" => self.passed += number,
                "failed" => self.failed += number,
                "ignored" => self.ignored += number,
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_of_several_programs_add_up() {
        let mut counts = Counts::default();
        for line in [
            "running 3 tests",
            "test result: ok. 2 passed; 0 failed; 1 ignored; 0 measured; 4 filtered out; finished in 0.01s",
            "test result: FAILED. 1 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.01s",
        ] {
            counts.add(line);
        }
        let expected = Counts {
            passed: 3,
            failed: 2,
            ignored: 1,
        };
        assert_eq!(counts, expected);
    }
}
