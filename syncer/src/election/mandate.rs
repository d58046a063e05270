//! The right to write. It ends by itself, so that nothing has to be told in time.

use std::{
    fmt,
    sync::{Mutex, MutexGuard, PoisonError},
};

use tokio::time::Instant;

/// A right that is looked at before every write.
pub struct Mandate {
    term: Mutex<Term>,
}

#[derive(Debug, Clone, Copy)]
enum Term {
    Unlimited,
    Until(Instant),
    Over,
}

impl Mandate {
    /// For the only syncer of a cluster.
    pub fn unlimited() -> Self {
        Self {
            term: Mutex::new(Term::Unlimited),
        }
    }

    /// For one of several, before it is chosen.
    pub fn none() -> Self {
        Self {
            term: Mutex::new(Term::Over),
        }
    }

    /// May something be written now?
    pub fn holds(&self) -> bool {
        match *self.lock() {
            Term::Unlimited => true,
            Term::Until(end) => Instant::now() < end,
            Term::Over => false,
        }
    }

    /// Gives the right until `end`.
    pub(super) fn extend(&self, end: Instant) {
        *self.lock() = Term::Until(end);
    }

    /// Takes the right.
    pub(super) fn end(&self) {
        *self.lock() = Term::Over;
    }

    fn lock(&self) -> MutexGuard<'_, Term> {
        self.term.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Mandate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.lock().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_ends_by_itself() {
        let mandate = Mandate::none();
        assert!(!mandate.holds());
        mandate.extend(Instant::now() + Duration::from_secs(10));
        tokio::time::advance(Duration::from_millis(9_999)).await;
        assert!(mandate.holds());
        tokio::time::advance(Duration::from_millis(1)).await;
        assert!(!mandate.holds());
    }

    #[tokio::test(start_paused = true)]
    async fn the_only_syncer_has_it_for_ever() {
        let mandate = Mandate::unlimited();
        tokio::time::advance(Duration::from_hours(1000)).await;
        assert!(mandate.holds());
    }
}
