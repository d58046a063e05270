//! From what was found to why: a table of rules, each pure.

mod claim;
mod container;
mod event;
mod node;
mod schedule;
#[cfg(test)]
mod tests;
mod text;
mod twin;

use super::evidence::{Evidence, is_control_plane, pod_name};

pub use self::text::causes_of_error;

/// Something that explains a failure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cause {
    /// One sentence without a full stop.
    pub line: String,
    /// What shows it, such as the last lines of a log.
    pub details: Vec<String>,
    /// What to do about it.
    pub advice: Option<String>,
}

/// What a cause is about. When the host is in trouble, a tenant's troubles follow from that.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum About {
    Host,
    ControlPlane,
    Tenant,
}

type Rule = fn(&Evidence) -> Vec<(About, Cause)>;

/// In the order of how sure they are.
const RULES: [Rule; 7] = [
    node::troubles,
    container::troubles,
    schedule::troubles,
    claim::troubles,
    event::troubles,
    container::unready,
    twin::troubles,
];

/// Why, most likely first. Empty when nothing odd is seen.
pub fn causes(evidence: &Evidence) -> Vec<Cause> {
    let mut found: Vec<_> = RULES.iter().flat_map(|rule| rule(evidence)).collect();
    found.sort_by_key(|(about, _)| *about);
    let mut causes: Vec<Cause> = Vec::new();
    for (_, cause) in found {
        if !causes.iter().any(|known| known.line == cause.line) {
            causes.push(cause);
        }
    }
    causes
}

fn about(pod: &k8s_openapi::api::core::v1::Pod) -> About {
    if is_control_plane(pod) {
        About::ControlPlane
    } else {
        About::Tenant
    }
}

impl Cause {
    fn new(line: impl Into<String>) -> Self {
        Self {
            line: line.into(),
            details: Vec::new(),
            advice: None,
        }
    }

    fn advice(self, advice: impl Into<String>) -> Self {
        Self {
            advice: Some(advice.into()),
            ..self
        }
    }

    fn details(self, details: Vec<String>) -> Self {
        Self { details, ..self }
    }
}
