//! Whether an idle host may go. Pure.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::record::HostRecord;

/// A host is looked at so often at least: clocks jump, machines sleep.
const LONGEST: Duration = Duration::from_mins(1);
/// And not more often than that.
const SHORTEST: Duration = Duration::from_millis(100);

/// What is to be done with a host that nobody here uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It stays for ever: somebody said so.
    Stands,
    /// It is looked at again after so long.
    Again(Duration),
    /// Its time is up.
    Delete,
}

/// Judges a host that has so many clusters, which is to go when it was idle for `after`, and at least since
/// `since` when nobody knows.
pub(super) fn decide(
    record: &HostRecord,
    clusters: usize,
    after: Duration,
    since: Timestamp,
    now: Timestamp,
) -> Verdict {
    if record.is_standing {
        return Verdict::Stands;
    }
    let again = |wait: Duration| Verdict::Again(wait.clamp(SHORTEST, LONGEST));
    if clusters > 0 {
        return again(after);
    }
    // A time to come is of a clock that was put back since; who knows for how long.
    let used_at = record.used_at.unwrap_or(since);
    let idle = now.duration_since(used_at).max(SignedDuration::ZERO);
    let after_signed = SignedDuration::try_from(after).unwrap_or(SignedDuration::MAX);
    match Duration::try_from(after_signed.saturating_sub(idle)) {
        Ok(left) if !left.is_zero() => again(left),
        _ => Verdict::Delete,
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    const AFTER: Duration = Duration::from_mins(30);

    fn used(at: &str) -> HostRecord {
        HostRecord {
            used_at: Some(at.parse().unwrap()),
            is_standing: false,
        }
    }

    fn again(seconds: u64) -> Verdict {
        Verdict::Again(Duration::from_secs(seconds))
    }

    #[rstest]
    #[case::just_used(used("2026-01-01T11:59:00Z"), 0, again(60))]
    #[case::nearly(used("2026-01-01T11:30:05Z"), 0, again(5))]
    #[case::long_ago(used("2026-01-01T11:30:00Z"), 0, Verdict::Delete)]
    #[case::long_ago_but_with_a_cluster(used("2025-01-01T00:00:00Z"), 1, again(60))]
    #[case::standing(HostRecord { is_standing: true, ..used("2025-01-01T00:00:00Z") }, 0, Verdict::Stands)]
    #[case::to_come(used("2026-01-01T13:00:00Z"), 0, again(60))]
    #[case::unknown(HostRecord::default(), 0, again(60))]
    #[case::never_used_but_with_a_cluster(HostRecord::default(), 2, again(60))]
    fn an_idle_host(
        #[case] record: HostRecord,
        #[case] clusters: usize,
        #[case] expected: Verdict,
    ) {
        let now = "2026-01-01T12:00:00Z".parse().unwrap();
        let since = "2026-01-01T11:58:00Z".parse().unwrap();
        assert_eq!(decide(&record, clusters, AFTER, since, now), expected);
    }

    #[test]
    fn a_host_whose_use_is_unknown_goes_when_it_was_watched_long_enough() {
        let since: Timestamp = "2026-01-01T11:58:00Z".parse().unwrap();
        let now = since.saturating_add(AFTER).unwrap();
        let verdict = decide(&HostRecord::default(), 0, AFTER, since, now);
        assert_eq!(verdict, Verdict::Delete);
    }
}
