//! Who is making a kind cluster, written on its containers, so that nobody takes a cluster that is
//! being made for one whose maker was killed.

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::owner::{Place, Presence, Process, presence};

/// The process that makes a cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Maker {
    place: Place,
    process: Process,
    /// The lock that it holds meanwhile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    lock: Option<PathBuf>,
    /// When it will have finished or given up.
    until: Timestamp,
}

/// From where a half-made cluster is judged.
#[derive(Debug, Clone)]
pub(super) struct Judge<'a> {
    pub(super) place: Place,
    /// The lock held by who asks.
    pub(super) lock: Option<&'a Path>,
    pub(super) now: Timestamp,
}

impl Maker {
    /// This process, which will not take longer than until then.
    pub(super) fn here(lock: Option<PathBuf>, until: Timestamp) -> Self {
        Self {
            place: Place::here(),
            process: Process::this(),
            lock,
            until,
        }
    }

    pub(super) fn to_label(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// An unreadable label is as good as none: nobody is known to be at work.
    pub(super) fn from_label(label: &str) -> Option<Self> {
        serde_json::from_str(label).ok()
    }

    /// Is it certainly no longer at work?
    pub(super) fn has_given_up(&self, judge: &Judge<'_>) -> bool {
        self.judge(judge, presence(self.process.pid))
    }

    fn judge(&self, judge: &Judge<'_>, presence: Presence) -> bool {
        let is_known_equal = |a: &str, b: &str| !a.is_empty() && a == b;
        if self.until < judge.now {
            return true;
        }
        let (there, here) = (&self.place, &judge.place);
        if !is_known_equal(&there.machine, &here.machine) {
            return false;
        }
        // It would hold this lock, so the lock is the best witness.
        if self.lock.is_some() && self.lock.as_deref() == judge.lock {
            return true;
        }
        if !there.boot_id.is_empty() && !here.boot_id.is_empty() && there.boot_id != here.boot_id {
            return true;
        }
        is_known_equal(&there.pid_namespace, &here.pid_namespace)
            && match presence {
                Presence::Nobody => true,
                Presence::StartedAt(start) => start != self.process.start_time,
                Presence::Hidden => false,
            }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn place() -> Place {
        Place {
            machine: "m".to_owned(),
            boot_id: "b".to_owned(),
            pid_namespace: "p".to_owned(),
        }
    }

    fn maker() -> Maker {
        Maker {
            place: place(),
            process: Process {
                pid: 7,
                start_time: 70,
            },
            lock: Some("/cache/host.lock".into()),
            until: "2026-01-01T00:03:00Z".parse().unwrap(),
        }
    }

    fn judge<'a>(lock: &'a str, now: &str) -> Judge<'a> {
        Judge {
            place: place(),
            lock: Some(Path::new(lock)),
            now: now.parse().unwrap(),
        }
    }

    const EARLY: &str = "2026-01-01T00:00:00Z";
    const LATE: &str = "2026-01-01T00:04:00Z";
    const OTHER_LOCK: &str = "/other/host.lock";

    #[rstest]
    #[case::alive(judge(OTHER_LOCK, EARLY), Presence::StartedAt(70), false)]
    #[case::dead(judge(OTHER_LOCK, EARLY), Presence::Nobody, true)]
    #[case::its_id_reused(judge(OTHER_LOCK, EARLY), Presence::StartedAt(80), true)]
    #[case::hidden(judge(OTHER_LOCK, EARLY), Presence::Hidden, false)]
    #[case::too_late(judge(OTHER_LOCK, LATE), Presence::StartedAt(70), true)]
    #[case::we_hold_its_lock(judge("/cache/host.lock", EARLY), Presence::StartedAt(70), true)]
    fn a_maker_is_believed_while_it_may_work(
        #[case] judge: Judge<'_>,
        #[case] presence: Presence,
        #[case] given_up: bool,
    ) {
        assert_eq!(maker().judge(&judge, presence), given_up);
    }

    #[test]
    fn a_maker_elsewhere_is_believed_until_its_time_is_up() {
        let elsewhere = |now| Judge {
            place: Place {
                machine: "n".to_owned(),
                ..place()
            },
            ..judge("/cache/host.lock", now)
        };
        assert!(!maker().judge(&elsewhere(EARLY), Presence::Nobody));
        assert!(maker().judge(&elsewhere(LATE), Presence::Nobody));
    }

    #[test]
    fn a_label_is_read_back() {
        assert_eq!(Maker::from_label(&maker().to_label()), Some(maker()));
        assert_eq!(Maker::from_label("someone"), None);
    }
}
