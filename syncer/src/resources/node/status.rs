//! The patch that brings a virtual node's status into shape.

use k8s_openapi::api::core::v1::Node;
use serde_json::{Value, json};

/// The maps of a status whose keys come and go.
const RESOURCES: &[&str] = &["allocatable", "capacity"];

/// The merge patch that gives `shown` the status of `wanted`. Resources that are no more are taken
/// away, unless they are such as a tenant may add and `keeps_extended` says that it does.
pub(crate) fn status_patch(wanted: &Node, shown: Option<&Node>, keeps_extended: bool) -> Value {
    // Types of the Kubernetes API always have a JSON form.
    let mut status = serde_json::to_value(&wanted.status).unwrap_or_default();
    let shown = shown.and_then(|node| serde_json::to_value(&node.status).ok());
    for map in RESOURCES {
        let old = shown.as_ref().and_then(|shown| shown[map].as_object());
        let Some(new) = status.get_mut(map).and_then(Value::as_object_mut) else {
            continue;
        };
        let old = old.into_iter().flat_map(|old| old.keys());
        for key in old.filter(|key| !(keeps_extended && key.contains('/'))) {
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
        let patch = |capacity: Value| json!({"status": {"phase": "Running", "capacity": capacity}});
        assert_eq!(
            status_patch(&wanted, Some(&shown), false),
            patch(json!({"cpu": "2", "example.com/gpu": null}))
        );
        assert_eq!(
            status_patch(&wanted, Some(&shown), true),
            patch(json!({"cpu": "2"}))
        );
    }
}
