//! Nodes of the host that cannot carry pods.

use k8s_openapi::api::core::v1::Node;

use super::{About, Cause, Evidence};

pub(super) fn troubles(evidence: &Evidence) -> Vec<(About, Cause)> {
    let nodes = evidence.host.nodes();
    nodes
        .iter()
        .flat_map(of_node)
        .map(|cause| (About::Host, cause))
        .collect()
}

fn of_node(node: &Node) -> Vec<Cause> {
    let name = node.metadata.name.as_deref().unwrap_or("?");
    let conditions = node
        .status
        .as_ref()
        .and_then(|status| status.conditions.as_ref());
    let conditions = conditions.into_iter().flatten();
    conditions
        .filter_map(|condition| {
            let message = condition.message.as_deref().unwrap_or("no message");
            let is =
                |type_: &str, status: &str| condition.type_ == type_ && condition.status == status;
            if is("DiskPressure", "True") {
                let line = format!("node {name} of the host is short of disk: {message}");
                return Some(Cause::new(line).advice(super::text::DISK));
            }
            if is("MemoryPressure", "True") || is("PIDPressure", "True") {
                let line = format!("node {name} of the host has {}: {message}", condition.type_);
                return Some(Cause::new(line).advice("run fewer tests at once"));
            }
            if condition.type_ == "Ready" && condition.status != "True" {
                let line = format!("node {name} of the host is not ready: {message}");
                return Some(Cause::new(line).advice(super::text::DOCTOR));
            }
            None
        })
        .collect()
}
