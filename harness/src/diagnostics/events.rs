//! Events as lines, oldest first.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Event;

/// Events in the order in which they last happened.
pub(super) fn sorted(mut events: Vec<Event>) -> Vec<Event> {
    events.sort_by_key(time);
    events
}

/// One event in one line.
pub(super) fn line(event: &Event) -> String {
    let at = time(event).map_or_else(
        || "--:--:--".to_owned(),
        |at| at.strftime("%H:%M:%S").to_string(),
    );
    let object = &event.involved_object;
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let count = match event.count {
        Some(count) if count > 1 => format!(" (×{count})"),
        _ => String::new(),
    };
    format!(
        "{at} {} {} {}/{}: {}{count}",
        text(&event.type_),
        text(&event.reason),
        text(&object.kind).to_lowercase(),
        text(&object.name),
        text(&event.message).trim().replace('\n', " "),
    )
}

/// When it last happened; there are three places to say so.
fn time(event: &Event) -> Option<Timestamp> {
    let series = event
        .series
        .as_ref()
        .and_then(|series| series.last_observed_time.as_ref());
    series
        .map(|time| time.0)
        .or(event.last_timestamp.as_ref().map(|time| time.0))
        .or(event.event_time.as_ref().map(|time| time.0))
        .or(event.first_timestamp.as_ref().map(|time| time.0))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn events_are_in_order_whatever_field_holds_their_time() {
        let event = |reason: &str, field: &str, time: &str| -> Event {
            serde_json::from_value(json!({
                "metadata": {}, "type": "Normal", "reason": reason, "message": "m\n", "count": 2,
                "involvedObject": {"kind": "Pod", "name": "web"}, field: time,
            }))
            .unwrap()
        };
        let events = sorted(vec![
            event("B", "lastTimestamp", "2026-01-02T03:04:06Z"),
            event("A", "eventTime", "2026-01-02T03:04:05.000000Z"),
        ]);
        let lines: Vec<_> = events.iter().map(line).collect();
        assert_eq!(
            lines,
            [
                "03:04:05 Normal A pod/web: m (×2)",
                "03:04:06 Normal B pod/web: m (×2)"
            ]
        );
    }
}
