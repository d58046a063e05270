//! The last lines of a run: each step, how it went and how long it took.

use std::{
    fmt,
    io::Write as _,
    time::{Duration, Instant},
};

use anyhow::bail;

use crate::test_run::Counts;

/// Steps so far.
#[derive(Debug, Default)]
pub(crate) struct Summary {
    rows: Vec<Row>,
}

/// How a step went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Passed,
    Failed,
    /// Left out, and why.
    Skipped(&'static str),
    /// What test programs counted, and whether all of them ended well.
    Tests(Counts, bool),
}

#[derive(Debug)]
struct Row {
    name: &'static str,
    outcome: Outcome,
    took: Duration,
}

impl Summary {
    /// Runs a step. One that fails is remembered and the next ones run all the same; an error ends the run.
    pub(crate) fn step(
        &mut self,
        name: &'static str,
        run: impl FnOnce() -> anyhow::Result<Outcome>,
    ) -> anyhow::Result<()> {
        let started = Instant::now();
        say(&format!("== {name}"));
        let outcome = run()?;
        self.add(name, outcome, started.elapsed());
        Ok(())
    }

    /// Remembers a step that was run elsewhere.
    pub(crate) fn add(&mut self, name: &'static str, outcome: Outcome, took: Duration) {
        self.rows.push(Row {
            name,
            outcome,
            took,
        });
    }

    /// Prints all steps; an error when one of them failed.
    pub(crate) fn finish(self) -> anyhow::Result<()> {
        say(&format!("\n{self}"));
        if let Some(row) = self.rows.iter().find(|row| row.outcome.is_failure()) {
            bail!("{} failed", row.name);
        }
        if self.ran_no_test() {
            bail!("no test matches");
        }
        Ok(())
    }

    /// A filter that fits nothing would otherwise look like success.
    fn ran_no_test(&self) -> bool {
        let mut counts = self
            .rows
            .iter()
            .filter_map(|row| match row.outcome {
                Outcome::Tests(counts, _) => Some(counts.passed + counts.failed + counts.ignored),
                _ => None,
            })
            .peekable();
        counts.peek().is_some() && counts.sum::<u64>() == 0
    }
}

impl Outcome {
    fn is_failure(self) -> bool {
        match self {
            Self::Passed | Self::Skipped(_) => false,
            Self::Failed => true,
            Self::Tests(counts, ended_well) => counts.failed > 0 || !ended_well,
        }
    }
}

impl From<bool> for Outcome {
    fn from(passed: bool) -> Self {
        if passed { Self::Passed } else { Self::Failed }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Passed => f.write_str("passed"),
            Self::Failed => f.write_str("FAILED"),
            Self::Skipped(why) => write!(f, "skipped: {why}"),
            Self::Tests(counts, ended_well) => {
                write!(f, "{} passed, {} failed", counts.passed, counts.failed)?;
                if counts.ignored > 0 {
                    write!(f, ", {} ignored", counts.ignored)?;
                }
                if counts.failed == 0 && !ended_well {
                    f.write_str(", and a test program did not build or end well")?;
                }
                Ok(())
            }
        }
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self
            .rows
            .iter()
            .map(|row| row.name.len())
            .max()
            .unwrap_or(0);
        for row in &self.rows {
            let seconds = row.took.as_secs_f64();
            writeln!(f, "{:width$}  {seconds:>7.1} s  {}", row.name, row.outcome)?;
        }
        Ok(())
    }
}

/// Standard output may be closed; that is no reason to fail.
fn say(text: &str) {
    drop(writeln!(std::io::stdout(), "{text}"));
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: Counts = Counts {
        passed: 12,
        failed: 0,
        ignored: 0,
    };

    #[test]
    fn each_step_has_a_line() {
        let mut summary = Summary::default();
        summary.add("fmt", Outcome::Passed, Duration::from_millis(1_250));
        summary.add(
            "hermetic tests",
            Outcome::Tests(GOOD, true),
            Duration::from_secs(90),
        );
        assert_eq!(
            summary.to_string(),
            "fmt                 1.2 s  passed\nhermetic tests     90.0 s  12 passed, 0 failed\n"
        );
    }

    #[test]
    fn a_program_that_died_is_a_failure_even_with_no_failed_test() {
        let outcome = Outcome::Tests(GOOD, false);
        assert!(outcome.is_failure());
        assert!(outcome.to_string().contains("did not build or end well"));
    }

    #[test]
    fn a_run_without_a_single_test_is_no_success() {
        let mut summary = Summary::default();
        summary.add(
            "hermetic tests",
            Outcome::Tests(Counts::default(), true),
            Duration::ZERO,
        );
        assert_eq!(summary.finish().unwrap_err().to_string(), "no test matches");
    }

    #[test]
    fn one_failed_step_fails_the_run() {
        let mut summary = Summary::default();
        summary.step("fmt", || Ok(Outcome::Failed)).unwrap();
        summary.step("lint", || Ok(Outcome::Passed)).unwrap();
        assert_eq!(summary.finish().unwrap_err().to_string(), "fmt failed");
    }
}
