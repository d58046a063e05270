//! Nodes come from the host: the real ones, with their real addresses, as far as they carry the
//! tenant's pods.

use k8s_openapi::api::core::v1::{Node, NodeStatus};

use crate::metadata;

/// The virtual node that shows a host node.
pub fn to_virtual(host: &Node) -> Node {
    let mut spec = host.spec.clone().unwrap_or_default();
    // The virtual API server taints new nodes as not ready; "none" takes that away.
    spec.taints.get_or_insert_default();
    Node {
        metadata: metadata::mirrored(&host.metadata),
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
    use crate::metadata::tests::meta;

    #[test]
    fn addresses_are_real() {
        let addresses = vec![NodeAddress {
            address: "172.18.0.2".to_owned(),
            type_: "InternalIP".to_owned(),
        }];
        let host = Node {
            metadata: meta("", "kind-worker"),
            spec: Some(NodeSpec {
                unschedulable: Some(true),
                ..NodeSpec::default()
            }),
            status: Some(NodeStatus {
                addresses: Some(addresses.clone()),
                ..NodeStatus::default()
            }),
        };
        let node = to_virtual(&host);
        assert_eq!(node.metadata.name.as_deref(), Some("kind-worker"));
        assert_eq!(node.metadata.uid, None);
        let spec = node.spec.unwrap();
        assert_eq!(spec.unschedulable, Some(true));
        assert_eq!(spec.taints, Some(Vec::new()));
        assert_eq!(node.status.unwrap().addresses, Some(addresses));
    }
}
