//! A node says again and again that nothing changed. A tenant need not hear all of it.

use jiff::SignedDuration;
use k8s_openapi::api::core::v1::{NodeCondition, NodeStatus};

/// How far a tenant's heartbeat may be behind: a kubelet to whom nothing happens reports as often by default
/// (`nodeStatusReportFrequency`), so nobody may count on more.
const BEHIND: SignedDuration = SignedDuration::from_mins(5);

/// Conditions in which nothing is new but the heartbeat stay as they are `shown`, until that is too old.
pub(crate) fn keep_heartbeats(wanted: &mut NodeStatus, shown: &NodeStatus) {
    let shown = shown.conditions.as_deref().unwrap_or_default();
    for condition in wanted.conditions.iter_mut().flatten() {
        let same = shown.iter().find(|shown| shown.type_ == condition.type_);
        if let Some(shown) = same.filter(|shown| says_as_much(shown, condition)) {
            condition
                .last_heartbeat_time
                .clone_from(&shown.last_heartbeat_time);
        }
    }
}

fn says_as_much(shown: &NodeCondition, wanted: &NodeCondition) -> bool {
    let beat = |condition: &NodeCondition| Some(condition.last_heartbeat_time.as_ref()?.0);
    let is_recent = match (beat(shown), beat(wanted)) {
        (Some(shown), Some(wanted)) => wanted.duration_since(shown) < BEHIND,
        (None, None) => true,
        _ => false,
    };
    let unbeaten = |condition: &NodeCondition| NodeCondition {
        last_heartbeat_time: None,
        ..condition.clone()
    };
    is_recent && unbeaten(shown) == unbeaten(wanted)
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
    use rstest::rstest;

    use super::*;

    fn status(beat: &str, ready: &str) -> NodeStatus {
        let condition = NodeCondition {
            type_: "Ready".to_owned(),
            status: ready.to_owned(),
            last_heartbeat_time: Some(Time(beat.parse().unwrap())),
            ..NodeCondition::default()
        };
        NodeStatus {
            conditions: Some(vec![condition]),
            ..NodeStatus::default()
        }
    }

    #[rstest]
    #[case::soon("2026-01-01T00:04:59Z", "True", true)]
    #[case::late("2026-01-01T00:05:00Z", "True", false)]
    #[case::with_news("2026-01-01T00:00:01Z", "False", false)]
    fn only_news_and_old_heartbeats_are_shown(
        #[case] beat: &str,
        #[case] ready: &str,
        #[case] is_kept: bool,
    ) {
        let shown = status("2026-01-01T00:00:00Z", "True");
        let host = status(beat, ready);
        let mut wanted = host.clone();
        keep_heartbeats(&mut wanted, &shown);
        assert_eq!(wanted, if is_kept { shown } else { host });
    }

    #[test]
    fn a_condition_that_nobody_saw_is_shown() {
        let host = status("2026-01-01T00:00:00Z", "True");
        let mut wanted = host.clone();
        keep_heartbeats(&mut wanted, &NodeStatus::default());
        assert_eq!(wanted, host);
    }
}
