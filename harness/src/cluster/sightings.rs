//! What a wait saw last, for when it ends badly.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// The last word of each thing that is looked at. Clones share it.
#[derive(Debug, Clone, Default)]
pub(super) struct Sightings {
    seen: Arc<Mutex<BTreeMap<&'static str, String>>>,
}

impl Sightings {
    pub(super) fn note(&self, subject: &'static str, state: impl Into<String>) {
        self.lock().insert(subject, state.into());
    }

    pub(super) fn forget(&self, subject: &'static str) {
        self.lock().remove(subject);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<&'static str, String>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Display for Sightings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seen = self.lock();
        if seen.is_empty() {
            return f.write_str("nothing yet");
        }
        for (index, (subject, state)) in seen.iter().enumerate() {
            let separator = if index == 0 { "" } else { "; " };
            write!(f, "{separator}{subject}: {state}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_last_word_counts() {
        let sightings = Sightings::default();
        assert_eq!(sightings.to_string(), "nothing yet");
        sightings.note("pod", "pending");
        sightings.note("API server", "connection refused");
        sightings.clone().note("pod", "running");
        assert_eq!(
            sightings.to_string(),
            "API server: connection refused; pod: running"
        );
        sightings.forget("pod");
        assert_eq!(sightings.to_string(), "API server: connection refused");
    }
}
