//! Whether the processors have time to spare: where they have none, one more cluster only slows down those that are
//! there.

use super::measure::{Gauge, Ticks};

/// Of so many parts of the time one must be nobody's.
const SHARE: u64 = 4;
/// What is shorter, in ticks of all processors together, says nothing.
const SHORTEST: u64 = 10;

/// A look at the processors that began some time ago.
#[derive(Debug)]
pub(crate) struct Spare {
    /// `None` where nobody knows.
    since: Option<(Gauge, Ticks)>,
}

impl Spare {
    /// Begins to look.
    pub(super) fn watch(gauge: Option<&Gauge>) -> Self {
        let since = gauge.and_then(|gauge| Some((gauge.clone(), gauge.ticks()?)));
        Self { since }
    }

    /// Has a good part of the time since then been nobody's? Where nobody knows there is no reason to save.
    pub(crate) fn is_there(&self) -> bool {
        let Some((gauge, before)) = &self.since else {
            return true;
        };
        gauge.ticks().is_none_or(|now| is_good(*before, now))
    }
}

fn is_good(before: Ticks, now: Ticks) -> bool {
    let all = now.all.saturating_sub(before.all);
    let idle = now.idle.saturating_sub(before.idle);
    all >= SHORTEST && idle.saturating_mul(SHARE) >= all
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::a_quarter(25, 100, true)]
    #[case::less(24, 100, false)]
    #[case::nothing_is_done(100, 100, true)]
    #[case::too_short_to_say(9, 9, false)]
    #[case::no_time(0, 0, false)]
    fn a_good_part_must_be_nobodys(#[case] idle: u64, #[case] all: u64, #[case] expected: bool) {
        let before = Ticks { all: 500, idle: 70 };
        let now = Ticks {
            all: 500 + all,
            idle: 70 + idle,
        };
        assert_eq!(is_good(before, now), expected);
    }

    #[test]
    fn where_nobody_knows_there_is() {
        assert!(Spare::watch(None).is_there());
    }
}
