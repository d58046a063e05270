//! One line of a time line.

use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

/// Something that happened at a time or took a time. Written when it is over, so what has no end is missing
/// unless it is a [test](Kind::Test), whose begin is written as well.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Event {
    /// When it began, by this machine's clock. RFC 3339.
    pub at: Timestamp,
    /// How long it took; absent for what takes no time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds: Option<f64>,
    /// The process that wrote it.
    pub process: u32,
    /// The test it belongs to, its crate in front; absent for what is nobody's, such as the pool's upkeep.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test: Option<String>,
    /// The virtual cluster it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<String>,
    /// What kind of thing.
    pub kind: Kind,
    /// A short name, the same each time: `body`, `readyz`, `hit`.
    pub name: String,
    /// More for people, such as what was waited for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// How it ended, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Ending>,
}

/// Kinds of events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Kind {
    /// A whole test: `begin` without a time, `end` with its whole time and its outcome.
    Test,
    /// Waiting until there is room on the machine.
    Wait,
    /// Looking for the host, or making it.
    Host,
    /// The start of a cluster.
    Start,
    /// A part of a start.
    Phase,
    /// The pool: `hit`, `miss`, `reset`.
    Pool,
    /// Making the arguments of a test.
    Arguments,
    /// The test's own work.
    Body,
    /// Looking for the cause of a failure.
    Explain,
    /// Deleting, keeping or giving back clusters.
    CleanUp,
    /// A kind that a later version of this library knows.
    #[serde(other)]
    Other,
}

/// How something ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ending {
    /// As it should.
    Passed,
    /// Not as it should.
    Failed,
}

impl Event {
    /// Something that took from `began` until now.
    pub fn span(kind: Kind, name: impl Into<String>, began: Instant) -> Self {
        Self::lasting(kind, name, began, began.elapsed())
    }

    /// Something that took so long from `began` on, and may have ended a while ago.
    pub fn lasting(kind: Kind, name: impl Into<String>, began: Instant, took: Duration) -> Self {
        Self {
            at: wall(began),
            seconds: Some(took.as_secs_f64()),
            ..Self::mark(kind, name)
        }
    }

    /// Something that happens now.
    pub fn mark(kind: Kind, name: impl Into<String>) -> Self {
        Self {
            at: Timestamp::now(),
            seconds: None,
            process: std::process::id(),
            test: None,
            cluster: None,
            kind,
            name: name.into(),
            detail: None,
            outcome: None,
        }
    }

    /// About this cluster.
    #[must_use]
    pub fn cluster(self, name: impl Into<String>) -> Self {
        Self {
            cluster: Some(name.into()),
            ..self
        }
    }

    /// With more for people.
    #[must_use]
    pub fn detail(self, text: impl Into<String>) -> Self {
        Self {
            detail: Some(text.into()),
            ..self
        }
    }

    /// Ended like this.
    #[must_use]
    pub fn outcome(self, is_good: bool) -> Self {
        let outcome = if is_good {
            Ending::Passed
        } else {
            Ending::Failed
        };
        Self {
            outcome: Some(outcome),
            ..self
        }
    }

    /// When it was over.
    pub fn end(&self) -> Timestamp {
        let took = SignedDuration::try_from_secs_f64(self.seconds.unwrap_or_default());
        let end = took.map(|took| self.at.saturating_add(took));
        end.ok().and_then(Result::ok).unwrap_or(self.at)
    }
}

/// The clock on the wall at an instant of the past.
fn wall(instant: Instant) -> Timestamp {
    let now = Timestamp::now();
    let ago = SignedDuration::try_from(instant.elapsed()).unwrap_or_default();
    now.saturating_sub(ago).unwrap_or(now)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_only_what_is_known() {
        let event = Event {
            at: "2026-01-02T03:04:05.5Z".parse().unwrap(),
            process: 7,
            ..Event::mark(Kind::CleanUp, "stop")
        };
        assert_eq!(
            serde_json::to_string(&event).unwrap(),
            r#"{"at":"2026-01-02T03:04:05.5Z","process":7,"kind":"clean-up","name":"stop"}"#
        );
    }

    #[test]
    fn a_span_is_read_back_with_its_begin_and_end() {
        let began = Instant::now();
        let took = Duration::from_millis(1500);
        let event = Event::lasting(Kind::Start, "start", began, took)
            .cluster("vc-1")
            .detail("cold")
            .outcome(true);
        let line = serde_json::to_string(&event).unwrap();
        let read: Event = serde_json::from_str(&line).unwrap();
        assert_eq!(read, event);
        assert_eq!(
            read.end().duration_since(read.at),
            SignedDuration::from_millis(1500)
        );
    }

    #[test]
    fn a_kind_and_a_field_of_a_later_version_are_no_obstacle() {
        let line = r#"{"at":"2026-01-02T03:04:05Z","process":7,"kind":"dream","name":"x","new":1}"#;
        let event: Event = serde_json::from_str(line).unwrap();
        assert_eq!(event.kind, Kind::Other);
    }
}
