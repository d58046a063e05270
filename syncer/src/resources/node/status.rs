//! The patch that brings a virtual node's status into shape.

use k8s_openapi::api::core::v1::Node;
use serde_json::{Value, json};

/// The maps of a status whose keys come and go.
const RESOURCES: &[&str] = &["allocatable", "capacity"];

/// The merge patch that gives `shown` the status of `wanted`. Resources that are no more are taken
/// away.
pub(crate) fn status_patch(wanted: &Node, shown: Option<&Node>) -> Value {
    // Types of the Kubernetes API always have a JSON form.
    let mut status = serde_json::to_value(&wanted.status).unwrap_or_default();
    let shown = shown.and_then(|node| serde_json::to_value(&node.status).ok());
    for map in RESOURCES {
        let old = shown.as_ref().and_then(|shown| shown[map].as_object());
        let Some(new) = status.get_mut(map).and_then(Value::as_object_mut) else {
            continue;
        };
        for key in old.into_iter().flat_map(|old| old.keys()) {
            new.entry(key.clone()).or_insert(Value::Null);
        }
    }
    json!({ "status": status })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resource_that_is_no_more_is_taken_away() {
        let node = |status: Value| serde_json::from_value(json!({ "status": status })).unwrap();
        let wanted: Node = node(json!({"phase": "Running", "capacity": {"cpu": "2"}}));
        let shown: Node = node(json!({"capacity": {"cpu": "1", "example.com/gpu": "4"}}));
        let expected = json!({"status": {
            "phase": "Running",
            "capacity": {"cpu": "2", "example.com/gpu": null},
        }});
        assert_eq!(status_patch(&wanted, Some(&shown)), expected);
    }
}
