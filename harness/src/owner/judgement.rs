//! Whether an owner still lives. Pure: who asks brings the evidence.

use jiff::{SignedDuration, Timestamp};

use super::{
    place::{Place, Presence},
    record::Owner,
};
use crate::lease::LeaseState;

/// How far two clocks may be apart before an expiry is believed.
const CLOCK_SKEW: SignedDuration = SignedDuration::from_secs(60);

/// What was found out about an owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Evidence {
    /// The lease of the owner's session, as seen from here.
    pub lease: LeaseState,
    /// What has the owner's process id here.
    pub presence: Presence,
}

/// What may be done with an owner's clusters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The owner's process lives: hands off, whatever the expiry says.
    Lives,
    /// Nobody here can know, and its time is not up.
    Spared,
    /// The owner's process is gone.
    Gone {
        /// How that is known.
        because: &'static str,
    },
    /// Its time is up.
    Expired {
        /// Since when.
        at: Timestamp,
    },
}

impl Verdict {
    /// May it be deleted?
    pub fn is_final(&self) -> bool {
        matches!(self, Self::Gone { .. } | Self::Expired { .. })
    }
}

impl std::fmt::Display for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Lives => f.write_str("its owner lives"),
            Self::Spared => f.write_str("its time is not up"),
            Self::Gone { because } => write!(f, "its owner is gone: {because}"),
            Self::Expired { at } => write!(f, "its time was up at {at}"),
        }
    }
}

/// Judges `owner` from `here`, where it is `now` by the host's clock.
///
/// A process is judged gone only from its own machine; from elsewhere, and where nobody can tell,
/// only the expiry counts. A process known to live is safe from its expiry as well.
pub fn judge(owner: &Owner, here: &Place, evidence: Evidence, now: Timestamp) -> Verdict {
    if let Some(verdict) = life(owner, here, evidence) {
        return verdict;
    }
    match owner.expires_at {
        Some(at) if at.saturating_add(CLOCK_SKEW).is_ok_and(|end| end < now) => {
            Verdict::Expired { at }
        }
        _ => Verdict::Spared,
    }
}

fn life(owner: &Owner, here: &Place, evidence: Evidence) -> Option<Verdict> {
    let process = owner.process?;
    let there = &owner.place;
    if !is_known_equal(&there.machine, &here.machine) {
        return None;
    }
    // The kernel lets go of the lock with the process, so the lock itself is the best witness.
    match evidence.lease {
        LeaseState::Held => return Some(Verdict::Lives),
        LeaseState::Free => {
            return Some(Verdict::Gone {
                because: "nobody holds its lease",
            });
        }
        LeaseState::Missing => {}
    }
    if there.boot_id.is_empty() || here.boot_id.is_empty() {
        return None;
    }
    if there.boot_id != here.boot_id {
        return Some(Verdict::Gone {
            because: "the machine was restarted",
        });
    }
    if !is_known_equal(&there.pid_namespace, &here.pid_namespace) {
        return None;
    }
    match evidence.presence {
        Presence::Nobody => Some(Verdict::Gone {
            because: "no process has its id",
        }),
        Presence::StartedAt(start) if start == process.start_time => Some(Verdict::Lives),
        Presence::StartedAt(_) => Some(Verdict::Gone {
            because: "another process has its id",
        }),
        Presence::Hidden => None,
    }
}

fn is_known_equal(left: &str, right: &str) -> bool {
    !left.is_empty() && left == right
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::{super::record::tests::owner, *};

    const UNSEEN: Evidence = Evidence {
        lease: LeaseState::Missing,
        presence: Presence::Nobody,
    };

    fn seen(lease: LeaseState, presence: Presence) -> Evidence {
        Evidence { lease, presence }
    }

    fn before_expiry() -> Timestamp {
        "2026-01-02T03:00:00Z".parse().unwrap()
    }

    fn after_expiry() -> Timestamp {
        "2026-01-02T03:10:00Z".parse().unwrap()
    }

    fn gone(because: &'static str) -> Verdict {
        Verdict::Gone { because }
    }

    #[rstest]
    #[case::a_held_lease(seen(LeaseState::Held, Presence::Nobody), Verdict::Lives)]
    #[case::a_free_lease(
        seen(LeaseState::Free, Presence::StartedAt(1000)),
        gone("nobody holds its lease")
    )]
    #[case::the_same_process(seen(LeaseState::Missing, Presence::StartedAt(1000)), Verdict::Lives)]
    #[case::its_id_reused(
        seen(LeaseState::Missing, Presence::StartedAt(2000)),
        gone("another process has its id")
    )]
    #[case::no_such_process(UNSEEN, gone("no process has its id"))]
    #[case::a_hidden_process(seen(LeaseState::Missing, Presence::Hidden), Verdict::Spared)]
    fn from_its_own_place_a_process_is_judged_by(
        #[case] evidence: Evidence,
        #[case] expected: Verdict,
    ) {
        let owner = owner();
        assert_eq!(
            judge(&owner, &owner.place, evidence, before_expiry()),
            expected
        );
    }

    #[rstest]
    #[case::another_machine(|here: &mut Place| here.machine = "m2".to_owned(), Verdict::Spared)]
    #[case::an_unknown_machine(|here: &mut Place| here.machine.clear(), Verdict::Spared)]
    #[case::an_unknown_boot(|here: &mut Place| here.boot_id.clear(), Verdict::Spared)]
    #[case::another_container(|here: &mut Place| here.pid_namespace = "pid:[2]".to_owned(), Verdict::Spared)]
    #[case::a_later_boot(|here: &mut Place| here.boot_id = "b2".to_owned(), gone("the machine was restarted"))]
    fn an_unseen_process_is_judged_from(#[case] change: fn(&mut Place), #[case] expected: Verdict) {
        let owner = owner();
        let mut here = owner.place.clone();
        change(&mut here);
        assert_eq!(judge(&owner, &here, UNSEEN, before_expiry()), expected);
        let expired = match expected {
            Verdict::Spared => Verdict::Expired {
                at: owner.expires_at.unwrap(),
            },
            other => other,
        };
        assert_eq!(judge(&owner, &here, UNSEEN, after_expiry()), expired);
    }

    #[test]
    fn a_lease_seen_from_another_machine_proves_nothing() {
        let owner = owner();
        let here = Place {
            machine: "m2".to_owned(),
            ..owner.place.clone()
        };
        let evidence = seen(LeaseState::Free, Presence::Nobody);
        assert_eq!(
            judge(&owner, &here, evidence, before_expiry()),
            Verdict::Spared
        );
    }

    #[test]
    fn a_living_owner_is_safe_from_its_expiry() {
        let owner = owner();
        let evidence = seen(LeaseState::Held, Presence::StartedAt(1000));
        assert_eq!(
            judge(&owner, &owner.place, evidence, after_expiry()),
            Verdict::Lives
        );
    }

    #[rstest]
    #[case::within_the_skew("2026-01-02T03:04:50Z", Verdict::Spared)]
    #[case::beyond_the_skew("2026-01-02T03:05:06Z", Verdict::Expired { at: "2026-01-02T03:04:05Z".parse().unwrap() })]
    fn clocks_may_differ_by_a_minute(#[case] now: Timestamp, #[case] expected: Verdict) {
        let kept = owner().kept_until("2026-01-02T03:04:05Z".parse().unwrap());
        assert_eq!(judge(&kept, &kept.place, UNSEEN, now), expected);
    }

    #[test]
    fn what_stands_by_itself_never_ends_by_itself() {
        let standing = Owner::standing();
        let verdict = judge(&standing, &standing.place, UNSEEN, Timestamp::MAX);
        assert_eq!(verdict, Verdict::Spared);
    }
}
