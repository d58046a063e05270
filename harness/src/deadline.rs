//! The end of a wait, and what is awaited. Every wait in this crate has one.

use std::time::{Duration, Instant};

/// A point in time by which something named must have happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadline {
    name: &'static str,
    started: Instant,
    limit: Duration,
}

impl Deadline {
    /// A deadline `limit` from now for the thing called `name`.
    pub fn after(name: &'static str, limit: Duration) -> Self {
        Self {
            name,
            started: Instant::now(),
            limit,
        }
    }

    /// The same start, never later than `limit` from now: a step's share of a longer wait.
    #[must_use]
    pub fn step(self, name: &'static str, limit: Duration) -> Self {
        Self::after(name, limit.min(self.remaining()))
    }

    /// What is awaited.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// How long the whole wait may take.
    pub fn limit(&self) -> Duration {
        self.limit
    }

    /// How long the wait has taken so far.
    pub fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// How long is left; zero when it has passed.
    pub fn remaining(&self) -> Duration {
        self.limit.saturating_sub(self.elapsed())
    }

    /// Has it passed?
    pub fn is_over(&self) -> bool {
        self.remaining().is_zero()
    }

    /// The instant as tokio's clock wants it, for `tokio::time::timeout_at`.
    pub fn instant(&self) -> tokio::time::Instant {
        tokio::time::Instant::from_std(self.started + self.limit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_never_outlives_the_whole() {
        let whole = Deadline::after("cluster", Duration::from_millis(50));
        let step = whole.step("control plane", Duration::from_mins(1));
        assert!(step.remaining() <= Duration::from_millis(50));
        assert_eq!(step.name(), "control plane");
    }

    #[test]
    fn no_time_is_over_at_once() {
        assert!(Deadline::after("nothing", Duration::ZERO).is_over());
    }
}
