//! How many clusters may wait, and for how long.

use std::time::Duration;

/// How long a cluster waits where somebody may come back to it.
const AT_HOME: Duration = Duration::from_mins(2);
/// How long it waits in CI, where the next test comes at once or never.
const IN_CI: Duration = Duration::from_secs(15);
/// A new cluster is there sooner, also on a busy machine.
const RESET: Duration = Duration::from_secs(20);
/// More would hardly be used at a time.
const MOST: usize = 8;

/// What becomes of clusters between two tests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pool {
    /// How many may wait on one host; the one that has waited longest goes when there are more.
    pub size: usize,
    /// How long one waits before it is deleted.
    pub idle: Duration,
    /// How long it may take to put one back before it is deleted instead.
    pub reset: Duration,
}

impl Pool {
    /// One cluster for each test that can run at a time.
    pub fn usual(is_ci: bool) -> Self {
        let tests = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self {
            size: tests.min(MOST),
            idle: if is_ci { IN_CI } else { AT_HOME },
            reset: RESET,
        }
    }
}
