//! What a soak has to say.

use std::{collections::BTreeMap, fmt::Write as _, time::Duration};

use anyhow::bail;

use super::cycle::{Cycle, End};

/// The cycles so far.
#[derive(Debug)]
pub(super) struct Report {
    seed: u64,
    kills: bool,
    whole: Vec<Duration>,
    killed_after: BTreeMap<String, usize>,
    with_reaper: usize,
}

impl Report {
    pub(super) fn new(seed: u64, kills: bool) -> Self {
        Self {
            seed,
            kills,
            whole: Vec::new(),
            killed_after: BTreeMap::new(),
            with_reaper: 0,
        }
    }

    pub(super) fn add(&mut self, end: End, cycle: &Cycle) {
        if !cycle.was_killed {
            self.whole.push(cycle.took);
            return;
        }
        let begun = cycle.session.as_ref().map(|_| "session");
        let phase = cycle.phase.as_deref().or(begun).unwrap_or("nothing");
        *self.killed_after.entry(phase.to_owned()).or_default() += 1;
        let with_reaper = matches!(
            end,
            End::Killed {
                with_reaper: true,
                ..
            }
        );
        self.with_reaper += usize::from(with_reaper);
    }

    /// The summary; an error that has it when something is left.
    pub(super) fn finish(
        self,
        took: Duration,
        settled: Duration,
        left: &[String],
    ) -> anyhow::Result<String> {
        let killed: usize = self.killed_after.values().sum();
        let mut text = format!(
            "{} cycles in {:.0} s: {} whole, {killed} killed (seed {})\n",
            self.whole.len() + killed,
            took.as_secs_f64(),
            self.whole.len(),
            self.seed
        );
        if let Some(longest) = self.whole.iter().max() {
            let sum: Duration = self.whole.iter().sum();
            let count = u32::try_from(self.whole.len()).unwrap_or(u32::MAX);
            let mean = (sum / count).as_secs_f64();
            writeln!(
                text,
                "a whole cycle: {mean:.1} s on average, {:.1} s at most",
                longest.as_secs_f64()
            )?;
        }
        if self.kills {
            let phases: Vec<String> = self
                .killed_after
                .iter()
                .map(|(phase, count)| format!("{phase} {count}"))
                .collect();
            writeln!(text, "killed after: {}", phases.join(", "))?;
            writeln!(
                text,
                "killed together with their reapers: {}",
                self.with_reaper
            )?;
        }
        if left.is_empty() {
            writeln!(
                text,
                "left: nothing, {:.1} s after the last cycle",
                settled.as_secs_f64()
            )?;
            return Ok(text);
        }
        bail!(
            "{text}left, {:.0} s after the last cycle:\n  {}",
            settled.as_secs_f64(),
            left.join("\n  ")
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::soak::cycle::Moment;

    fn cycle(phase: Option<&str>, was_killed: bool) -> Cycle {
        Cycle {
            pid: 1,
            session: phase.map(|_| "s".to_owned()),
            phase: phase.map(str::to_owned),
            took: Duration::from_secs(4),
            was_killed,
            pace: Vec::new(),
        }
    }

    fn report() -> Report {
        let mut report = Report::new(7, true);
        let kill = |with_reaper| End::Killed {
            at: Moment {
                lines: 3,
                and: Duration::from_secs(1),
            },
            with_reaper,
        };
        report.add(End::Whole, &cycle(Some("syncer"), false));
        report.add(kill(false), &cycle(Some("address"), true));
        report.add(kill(true), &cycle(None, true));
        report
    }

    const TOOK: Duration = Duration::from_secs(9);
    const SETTLED: Duration = Duration::from_millis(2500);

    #[test]
    fn nothing_left_is_said_with_the_figures() {
        assert_eq!(
            report().finish(TOOK, SETTLED, &[]).unwrap(),
            "3 cycles in 9 s: 1 whole, 2 killed (seed 7)\n\
             a whole cycle: 4.0 s on average, 4.0 s at most\n\
             killed after: address 1, nothing 1\n\
             killed together with their reapers: 1\n\
             left: nothing, 2.5 s after the last cycle\n"
        );
    }

    #[test]
    fn what_is_left_is_a_failure_that_lists_it() {
        let left = vec!["namespace vc-1".to_owned()];
        let error = report().finish(TOOK, SETTLED, &left).unwrap_err();
        assert!(
            error
                .to_string()
                .ends_with("left, 2 s after the last cycle:\n  namespace vc-1"),
            "{error}"
        );
    }
}
