//! What a candidate does about the lease that it reads. No clock of another machine counts: a lease
//! is over when it has been seen unchanged for as long as its holder promised to renew it within.

use std::time::Duration;

use k8s_openapi::{
    api::coordination::v1::{Lease, LeaseSpec},
    apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta},
    jiff::Timestamp,
};
use tokio::time::Instant;

use crate::config::LeaderElection;

/// The times of an election.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Times {
    /// How long the others wait for a sign of life.
    pub(super) lease: Duration,
    /// How long the one that works does so without a renewal. What it sent before may arrive later,
    /// so there is some time between the two.
    pub(super) mandate: Duration,
    /// Between one look at the lease and the next.
    pub(super) pause: Duration,
}

impl From<LeaderElection> for Times {
    fn from(election: LeaderElection) -> Self {
        let lease = Duration::from_secs(election.lease_seconds.into());
        Self {
            lease,
            mandate: lease * 2 / 3,
            pause: lease * 2 / 15,
        }
    }
}

/// What to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Decision {
    /// Write oneself into the lease: it is one's own, nobody's, or over.
    Claim,
    /// Somebody else works.
    Wait,
}

/// What was last read, and since when it has been so.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Observation {
    spec: Option<LeaseSpec>,
    since: Instant,
}

impl Observation {
    /// The first look, or another one: what did not change keeps its time. A lease that somebody
    /// removed is no sign that its holder has stopped.
    pub(super) fn after(before: Option<Self>, lease: Option<&Lease>, now: Instant) -> Self {
        let spec = lease.and_then(|lease| lease.spec.clone());
        match before {
            Some(before) if spec.is_none() || before.spec == spec => before,
            _ => Self { spec, since: now },
        }
    }

    /// Who holds the lease, if anybody does.
    pub(super) fn holder(&self) -> Option<&str> {
        let holder = self.spec.as_ref()?.holder_identity.as_deref();
        holder.filter(|holder| !holder.is_empty())
    }

    /// What `candidate` does about it.
    pub(super) fn decide(&self, candidate: &str, now: Instant) -> Decision {
        let is_free = match self.holder() {
            None => true,
            Some(holder) => holder == candidate || now.duration_since(self.since) >= self.promise(),
        };
        if is_free {
            Decision::Claim
        } else {
            Decision::Wait
        }
    }

    /// How often its holder promised a sign of life. One that promised nothing gets no time.
    fn promise(&self) -> Duration {
        let spec = self.spec.as_ref();
        let seconds = spec.and_then(|spec| spec.lease_duration_seconds);
        Duration::from_secs(seconds.and_then(|it| u64::try_from(it).ok()).unwrap_or(0))
    }
}

/// The lease with `candidate` as its holder. It carries the version of what was read, so that the
/// server takes it only from one of those who read the same.
pub(super) fn claimed(
    read: Option<Lease>,
    (namespace, name): (&str, &str),
    candidate: &str,
    times: Times,
    now: Timestamp,
) -> Lease {
    let mut lease = read.unwrap_or_else(|| Lease {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            namespace: Some(namespace.to_owned()),
            ..ObjectMeta::default()
        },
        spec: None,
    });
    let spec = lease.spec.get_or_insert_default();
    if spec.holder_identity.as_deref() != Some(candidate) {
        let before = spec.lease_transitions;
        spec.lease_transitions = Some(before.map_or(0, |count| count.saturating_add(1)));
        spec.holder_identity = Some(candidate.to_owned());
        spec.acquire_time = Some(MicroTime(now));
    }
    spec.lease_duration_seconds = i32::try_from(times.lease.as_secs()).ok();
    spec.renew_time = Some(MicroTime(now));
    lease
}

/// The lease with nobody as its holder, so that the next need not wait.
pub(super) fn released(mut lease: Lease, now: Timestamp) -> Lease {
    let spec = lease.spec.get_or_insert_default();
    spec.holder_identity = None;
    spec.renew_time = Some(MicroTime(now));
    lease
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn times() -> Times {
        Times::from(LeaderElection::ON)
    }

    fn lease(holder: Option<&str>) -> Lease {
        let mut lease = claimed(
            None,
            ("host", "lease"),
            holder.unwrap_or_default(),
            times(),
            Timestamp::UNIX_EPOCH,
        );
        lease.spec.as_mut().unwrap().holder_identity = holder.map(str::to_owned);
        lease
    }

    #[rstest]
    #[case::that_nobody_made(None, 0, Decision::Claim)]
    #[case::that_was_given_back(Some(lease(None)), 0, Decision::Claim)]
    #[case::without_a_name(Some(lease(Some(""))), 0, Decision::Claim)]
    #[case::that_is_its_own(Some(lease(Some("me"))), 0, Decision::Claim)]
    #[case::of_another(Some(lease(Some("other"))), 0, Decision::Wait)]
    #[case::of_another_for_a_while(Some(lease(Some("other"))), 14_999, Decision::Wait)]
    #[case::of_another_that_is_silent(Some(lease(Some("other"))), 15_000, Decision::Claim)]
    #[case::that_promises_nothing(Some(Lease { spec: Some(LeaseSpec { holder_identity: Some("other".to_owned()), ..LeaseSpec::default() }), ..Lease::default() }), 0, Decision::Claim)]
    #[tokio::test(start_paused = true)]
    async fn a_candidate_takes_a_lease(
        #[case] read: Option<Lease>,
        #[case] unchanged_for: u64,
        #[case] expected: Decision,
    ) {
        let start = Instant::now();
        let seen = Observation::after(None, read.as_ref(), start);
        let seen = Observation::after(
            Some(seen),
            read.as_ref(),
            start + Duration::from_millis(unchanged_for / 2),
        );
        let now = start + Duration::from_millis(unchanged_for);
        assert_eq!(seen.decide("me", now), expected);
    }

    #[tokio::test(start_paused = true)]
    async fn a_sign_of_life_starts_the_wait_anew_whatever_time_it_says() {
        let start = Instant::now();
        let first = lease(Some("other"));
        // The holder's clock runs backwards.
        let renewed = claimed(
            Some(first.clone()),
            ("host", "lease"),
            "other",
            times(),
            Timestamp::UNIX_EPOCH - Duration::from_hours(1),
        );
        let seen = Observation::after(None, Some(&first), start);
        let later = start + Duration::from_secs(14);
        let seen = Observation::after(Some(seen), Some(&renewed), later);
        let decide = |seconds| seen.decide("me", start + Duration::from_secs(seconds));
        assert_eq!(decide(28), Decision::Wait);
        assert_eq!(decide(29), Decision::Claim);
    }

    #[tokio::test(start_paused = true)]
    async fn the_holder_of_a_lease_that_vanished_may_still_work() {
        let start = Instant::now();
        let seen = Observation::after(None, Some(&lease(Some("other"))), start);
        let later = start + Duration::from_secs(10);
        let seen = Observation::after(Some(seen), None, later);
        assert_eq!(seen.decide("me", later), Decision::Wait);
        let end = start + Duration::from_secs(15);
        assert_eq!(seen.decide("me", end), Decision::Claim);
    }

    #[test]
    fn who_works_stops_before_another_may_start() {
        for lease_seconds in [6, 15, 60, u16::MAX] {
            let times = Times::from(LeaderElection {
                lease_seconds,
                ..LeaderElection::ON
            });
            assert!(times.mandate < times.lease);
            assert!(
                times.pause * 2 < times.mandate,
                "one renewal may fail: {times:?}"
            );
        }
    }

    #[test]
    fn a_new_holder_is_counted_and_an_old_one_is_not() {
        let (at, later) = (Timestamp::UNIX_EPOCH, Timestamp::from_second(5).unwrap());
        let place = ("host", "lease");
        let first = claimed(None, place, "a", times(), at);
        let renewed = claimed(Some(first.clone()), place, "a", times(), later);
        let taken = claimed(Some(renewed.clone()), place, "b", times(), later);
        let given_back = released(taken.clone(), later);
        let of = |lease: &Lease| {
            let spec = lease.spec.clone().unwrap();
            (
                spec.holder_identity.unwrap_or_default(),
                spec.lease_transitions.unwrap(),
                spec.acquire_time.unwrap().0,
            )
        };
        assert_eq!(of(&first), ("a".to_owned(), 0, at));
        assert_eq!(of(&renewed), ("a".to_owned(), 0, at));
        assert_eq!(of(&taken), ("b".to_owned(), 1, later));
        assert_eq!(of(&given_back), (String::new(), 1, later));
    }
}
