//! Nodes come from the host: the real ones with their real addresses, or made-up ones in their places.

mod heartbeat;
mod made_up;
mod room;
mod selection;
mod status;
mod taints;

use k8s_openapi::api::core::v1::{Node, NodeStatus};

use crate::{config, labels::MIRRORED, metadata};

pub(crate) use heartbeat::keep_heartbeats;
pub(crate) use made_up::{Sighting, made_up};
pub(crate) use room::take;
pub(crate) use selection::{has_labels, require};
pub(crate) use status::status_patch;
pub(crate) use taints::with_tenants;

/// Labels that every node has and that schedulers and controllers count on.
const ALWAYS_SHOWN: &[&str] = &[
    "kubernetes.io/arch",
    "kubernetes.io/hostname",
    "kubernetes.io/os",
];

/// The virtual node that shows a host node, as far as `sync` lets the tenant see it.
pub fn to_virtual(host: &Node, sync: &config::Sync) -> Node {
    let shown = &sync.from_host.nodes;
    let mut metadata = metadata::mirrored(&host.metadata);
    if let Some(labels) = &mut metadata.labels {
        let is_always_shown = |key: &str| key == MIRRORED || ALWAYS_SHOWN.contains(&key);
        labels.retain(|key, _| is_always_shown(key) || shown.shows_label(key));
    }
    let mut spec = host.spec.clone().unwrap_or_default();
    // The virtual API server taints new nodes as not ready; "none" takes that away.
    spec.taints = Some(taints::shown(spec.taints.unwrap_or_default(), sync));
    Node {
        metadata,
        spec: Some(spec),
        status: host.status.as_ref().map(|status| NodeStatus {
            images: None,
            volumes_attached: None,
            volumes_in_use: None,
            ..status.clone()
        }),
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::{NodeAddress, NodeSpec};

    use super::*;
    use crate::{config::Sync, metadata::tests::meta};

    fn node() -> Node {
        Node {
            metadata: meta("", "kind-worker"),
            spec: Some(NodeSpec {
                unschedulable: Some(true),
                ..NodeSpec::default()
            }),
            status: Some(NodeStatus {
                addresses: Some(vec![NodeAddress {
                    address: "172.18.0.2".to_owned(),
                    type_: "InternalIP".to_owned(),
                }]),
                ..NodeStatus::default()
            }),
        }
    }

    #[test]
    fn addresses_are_real() {
        let host = node();
        let node = to_virtual(&host, &Sync::default());
        assert_eq!(node.metadata.name.as_deref(), Some("kind-worker"));
        assert_eq!(node.metadata.uid, None);
        let spec = node.spec.unwrap();
        assert_eq!(spec.unschedulable, Some(true));
        assert_eq!(spec.taints, Some(Vec::new()));
        assert_eq!(
            node.status.unwrap().addresses,
            host.status.unwrap().addresses
        );
    }

    #[test]
    fn labels_that_are_not_to_be_shown_stay_behind() {
        let mut host = node();
        let keys = ["kubernetes.io/hostname", "zone", "team.example.com/owner"];
        host.metadata.labels = Some(keys.map(|key| (key.to_owned(), "x".to_owned())).into());
        let mut sync = Sync::default();
        sync.from_host.nodes.show_labels = vec!["zone".to_owned()];
        let shown = to_virtual(&host, &sync).metadata.labels.unwrap();
        let shown: Vec<_> = shown.keys().map(String::as_str).collect();
        assert_eq!(shown, ["kubernetes.io/hostname", MIRRORED, "zone"]);
    }
}
