//! An object's state in one line, for people who wonder why a wait did not end.

use serde::Serialize;
use serde_json::Value;

/// What an object says about itself: phase, conditions that are not true, containers that do not run.
///
/// Works on any kind, since it reads the fields that kinds have in common.
pub fn last_seen(object: Option<&impl Serialize>) -> String {
    let Some(object) = object else {
        return "it did not exist".to_owned();
    };
    let value = serde_json::to_value(object).unwrap_or(Value::Null);
    let mut facts = Vec::new();
    if let Some(since) = text(&value, "/metadata/deletionTimestamp") {
        let finalizers = list(&value, "/metadata/finalizers")
            .filter_map(Value::as_str)
            .collect::<Vec<_>>();
        facts.push(if finalizers.is_empty() {
            format!("being deleted since {since}")
        } else {
            format!(
                "being deleted since {since}, held by {}",
                finalizers.join(", ")
            )
        });
    }
    if let Some(phase) = text(&value, "/status/phase") {
        facts.push(format!("phase {phase}"));
    }
    for (field, name) in [
        ("/status/replicas", "replicas"),
        ("/status/availableReplicas", "available"),
        ("/status/unavailableReplicas", "unavailable"),
    ] {
        if let Some(count) = value.pointer(field).and_then(Value::as_i64) {
            facts.push(format!("{name} {count}"));
        }
    }
    facts.extend(list(&value, "/status/conditions").filter_map(condition));
    facts.extend(
        ["/status/initContainerStatuses", "/status/containerStatuses"]
            .into_iter()
            .flat_map(|field| list(&value, field))
            .filter_map(container),
    );
    if facts.is_empty() {
        "it had no status".to_owned()
    } else {
        facts.join("; ")
    }
}

/// Conditions that hold are no news.
fn condition(condition: &Value) -> Option<String> {
    let status = text(condition, "/status")?;
    if status == "True" {
        return None;
    }
    let name = text(condition, "/type")?;
    let reason = text(condition, "/reason").unwrap_or("no reason given");
    Some(match text(condition, "/message") {
        Some(message) => format!("{name}={status} ({reason}: {message})"),
        None => format!("{name}={status} ({reason})"),
    })
}

fn container(status: &Value) -> Option<String> {
    let name = text(status, "/name")?;
    let (state, detail) = if let Some(waiting) = status.pointer("/state/waiting") {
        ("waiting", waiting)
    } else if let Some(terminated) = status.pointer("/state/terminated") {
        ("terminated", terminated)
    } else {
        return None;
    };
    let reason = text(detail, "/reason").unwrap_or("no reason given");
    let code = detail
        .pointer("/exitCode")
        .and_then(Value::as_i64)
        .map(|code| format!(", exit code {code}"))
        .unwrap_or_default();
    let message = text(detail, "/message")
        .map(|message| format!(": {message}"))
        .unwrap_or_default();
    Some(format!(
        "container {name} {state} ({reason}{code}{message})"
    ))
}

fn text<'v>(value: &'v Value, pointer: &str) -> Option<&'v str> {
    value
        .pointer(pointer)
        .and_then(Value::as_str)
        .filter(|text| !text.is_empty())
}

fn list<'v>(value: &'v Value, pointer: &str) -> impl Iterator<Item = &'v Value> {
    value
        .pointer(pointer)
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    #[rstest]
    #[case::pending(
        json!({"status": {"phase": "Pending", "conditions": [
            {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/1 nodes are available"}]}}),
        "phase Pending; PodScheduled=False (Unschedulable: 0/1 nodes are available)"
    )]
    #[case::image_missing(
        json!({"status": {"phase": "Pending", "containerStatuses": [
            {"name": "web", "state": {"waiting": {"reason": "ErrImageNeverPull", "message": "image x is not there"}}}]}}),
        "phase Pending; container web waiting (ErrImageNeverPull: image x is not there)"
    )]
    #[case::crashed(
        json!({"status": {"phase": "Running", "containerStatuses": [
            {"name": "web", "state": {"terminated": {"reason": "Error", "exitCode": 3}}}]}}),
        "phase Running; container web terminated (Error, exit code 3)"
    )]
    #[case::held(
        json!({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z", "finalizers": ["example.com/hold"]}}),
        "being deleted since 2026-01-01T00:00:00Z, held by example.com/hold"
    )]
    #[case::all_well(
        json!({"status": {"conditions": [{"type": "Ready", "status": "True"}]}}),
        "it had no status"
    )]
    fn the_odd_is_named(#[case] object: Value, #[case] expected: &str) {
        assert_eq!(last_seen(Some(&object)), expected);
    }

    #[test]
    fn absence_is_named() {
        assert_eq!(last_seen(None::<&Value>), "it did not exist");
    }
}
