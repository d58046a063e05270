//! How long each part of a start took.

use std::{
    fmt,
    time::{Duration, Instant},
};

use tracing::debug;

/// A point that the start of a cluster passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Phase {
    /// There is room on this machine; what came before is none of the start's own.
    Room,
    /// The images are on the host.
    Images,
    /// The namespace exists.
    Namespace,
    /// The service addresses are claimed.
    Address,
    /// Everything else of the control plane is created.
    Objects,
    /// The pod has a node.
    Scheduled,
    /// All its containers run.
    Containers,
    /// `/readyz` of the API server answers, and what it begins with is there.
    Ready,
    /// The service account `default/default` exists, so that pods may be created.
    Account,
    /// The syncer is at work.
    Syncer,
    /// What was asked for is in it.
    Fixtures,
    /// Its first state is saved, so that it can go from test to test.
    Saved,
    /// Instead of all these: it was taken from the pool.
    Taken,
}

/// When a start passed its phases, counted from the call.
#[derive(Debug, Clone)]
pub struct Phases {
    started: Instant,
    passed: Vec<(Phase, Duration)>,
}

impl Phase {
    /// A short name for tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Room => "room",
            Self::Images => "images",
            Self::Namespace => "namespace",
            Self::Address => "address",
            Self::Objects => "objects",
            Self::Scheduled => "scheduled",
            Self::Containers => "containers",
            Self::Ready => "readyz",
            Self::Account => "account",
            Self::Syncer => "syncer",
            Self::Fixtures => "fixtures",
            Self::Saved => "saved",
            Self::Taken => "taken",
        }
    }
}

impl Phases {
    pub(super) fn start() -> Self {
        Self {
            started: Instant::now(),
            passed: Vec::new(),
        }
    }

    /// Only the first time counts.
    pub(super) fn pass(&mut self, phase: Phase) {
        self.pass_after(phase, self.started.elapsed());
    }

    /// For what was passed while something else was looked at.
    pub(super) fn pass_after(&mut self, phase: Phase, elapsed: Duration) {
        if self.get(phase).is_none() {
            debug!(%phase, ?elapsed, "passed");
            self.passed.push((phase, elapsed));
            self.passed.sort_by_key(|(_, elapsed)| *elapsed);
        }
    }

    /// When the call was.
    pub(super) fn clock(&self) -> Instant {
        self.started
    }

    /// How long it is since the call.
    pub(super) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// How long after the call a phase was passed; `None` when it was not part of this start.
    pub fn get(&self, phase: Phase) -> Option<Duration> {
        self.passed
            .iter()
            .find(|(passed, _)| *passed == phase)
            .map(|(_, elapsed)| *elapsed)
    }

    /// All that were passed, earliest first.
    pub fn iter(&self) -> impl Iterator<Item = (Phase, Duration)> {
        self.passed.iter().copied()
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for Phases {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (phase, elapsed)) in self.iter().enumerate() {
            let separator = if index == 0 { "" } else { ", " };
            write!(f, "{separator}{phase} {:.2} s", elapsed.as_secs_f64())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_phase_is_passed_once() {
        let mut phases = Phases::start();
        phases.pass(Phase::Ready);
        let first = phases.get(Phase::Ready);
        phases.pass(Phase::Ready);
        assert_eq!(phases.get(Phase::Ready), first);
        assert_eq!(phases.iter().count(), 1);
        assert_eq!(phases.get(Phase::Syncer), None);
    }
}
