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
    /// Whose cluster is the first that is for others, too.
    pub since: Since,
}

/// Which of those who ask for the same get clusters that are handed on. The first state of such a cluster must
/// be saved, which takes two seconds more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Since {
    /// All of them.
    First,
    /// All but the first, so that who is alone does not pay for others.
    Second,
}

impl Pool {
    /// One cluster for each test that can run at a time.
    pub fn usual(is_ci: bool) -> Self {
        let tests = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self {
            size: tests.min(MOST),
            idle: if is_ci { IN_CI } else { AT_HOME },
            reset: RESET,
            since: Since::First,
        }
    }

    /// How many there may be of one kind, also those that are in use or are put back: as many again as may wait.
    pub(crate) fn most(&self) -> usize {
        self.size.saturating_mul(2)
    }
}
