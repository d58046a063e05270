//! Numbers that look like chance and are the same for the same seed.

use std::{
    hash::{BuildHasher as _, RandomState},
    time::Duration,
};

/// `SplitMix64`: enough to choose a moment.
#[derive(Debug)]
pub(super) struct Luck {
    state: u64,
}

/// A seed that nobody chose.
pub(super) fn seed() -> u64 {
    RandomState::new().hash_one(std::process::id()) % 1_000_000
}

impl Luck {
    pub(super) fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.state;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }

    /// A time shorter than this.
    pub(super) fn below(&mut self, limit: Duration) -> Duration {
        let limit = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
        Duration::from_millis(self.next() % limit.max(1))
    }

    /// A number below this, which is not nought.
    pub(super) fn number_below(&mut self, limit: usize) -> usize {
        let limit = u64::try_from(limit.max(1)).unwrap_or(u64::MAX);
        usize::try_from(self.next() % limit).unwrap_or_default()
    }

    pub(super) fn one_in(&mut self, count: u64) -> bool {
        self.next().is_multiple_of(count.max(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_times_all_over_the_range() {
        let limit = Duration::from_secs(10);
        let times = |seed| {
            let mut luck = Luck::new(seed);
            (0..200).map(|_| luck.below(limit)).collect::<Vec<_>>()
        };
        assert_eq!(times(7), times(7));
        assert_ne!(times(7), times(8));
        let in_range = |from, to| {
            let (from, to) = (Duration::from_secs(from), Duration::from_secs(to));
            times(7)
                .iter()
                .filter(|time| (from..to).contains(*time))
                .count()
        };
        assert_eq!(in_range(0, 10), 200);
        assert!(in_range(0, 2) > 10 && in_range(8, 10) > 10);
    }
}
