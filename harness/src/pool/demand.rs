//! How often the tests of this process ask for a kind of cluster. One that is asked for once need not be handed on.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use super::PoolKey;

/// How many tests have asked for each kind.
static ASKED: Mutex<BTreeMap<PoolKey, usize>> = Mutex::new(BTreeMap::new());

/// Counts a test that asks for this kind, and says whether none of this process has before.
pub(crate) fn is_first(kind: &PoolKey) -> bool {
    let mut asked = asked();
    let count = asked.entry(kind.clone()).or_default();
    *count += 1;
    *count == 1
}

/// Has more than one test of this process asked for this kind?
pub(crate) fn is_repeated(kind: &PoolKey) -> bool {
    asked().get(kind).is_some_and(|count| *count > 1)
}

fn asked() -> MutexGuard<'static, BTreeMap<PoolKey, usize>> {
    ASKED.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_test_repeats_what_the_first_asked_for() {
        let (kind, other) = (PoolKey::named("repeated"), PoolKey::named("asked-once"));
        assert!(!is_repeated(&kind));
        assert!(is_first(&kind) && is_first(&other));
        assert!(!is_repeated(&kind));
        assert!(!is_first(&kind));
        assert!(is_repeated(&kind) && !is_repeated(&other));
    }
}
