//! Nodes for tenants that are not shown the host's: they carry the real names and the addresses that
//! pods tell, which the tenant knows anyway, and nothing else of the host.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::{
    api::core::v1::{
        DaemonEndpoint, Node, NodeAddress, NodeCondition, NodeDaemonEndpoints, NodeSpec,
        NodeStatus, NodeSystemInfo, Pod,
    },
    apimachinery::pkg::{api::resource::Quantity, apis::meta::v1::ObjectMeta},
};

use crate::{labels, relay::KUBELET_PORT};

/// Enough for any test; what there really is, the host's scheduler knows.
const CAPACITY: &[(&str, &str)] = &[
    ("cpu", "16"),
    ("ephemeral-storage", "100Gi"),
    ("memory", "32Gi"),
    ("pods", "110"),
];

/// What pods tell of the node that carries them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Sighting {
    addresses: BTreeSet<String>,
}

impl Sighting {
    /// Takes in what one pod on the node says.
    pub(crate) fn add(&mut self, pod: &Pod) {
        let Some(status) = &pod.status else { return };
        let listed = status.host_ips.iter().flatten().map(|entry| &entry.ip);
        let all = listed.chain(&status.host_ip).cloned();
        self.addresses
            .extend(all.filter(|address| !address.is_empty()));
    }

    /// Takes in what others say.
    pub(crate) fn merge(&mut self, other: Self) {
        self.addresses.extend(other.addresses);
    }
}

/// The node called `name`, whose kubelet is of the version `kubelet`.
pub(crate) fn made_up(name: &str, seen: &Sighting, kubelet: &str) -> Node {
    let address = |type_: &str, address: &str| NodeAddress {
        address: address.to_owned(),
        type_: type_.to_owned(),
    };
    let internal = seen.addresses.iter().map(|ip| address("InternalIP", ip));
    let quantities = || {
        let pairs = CAPACITY
            .iter()
            .map(|&(key, amount)| (key.to_owned(), Quantity(amount.to_owned())));
        Some(pairs.collect::<BTreeMap<_, _>>())
    };
    Node {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            labels: Some(labels_of(name)),
            ..ObjectMeta::default()
        },
        spec: Some(NodeSpec {
            // The virtual API server taints new nodes as not ready; "none" takes that away.
            taints: Some(Vec::new()),
            ..NodeSpec::default()
        }),
        status: Some(NodeStatus {
            addresses: Some(internal.chain([address("Hostname", name)]).collect()),
            allocatable: quantities(),
            capacity: quantities(),
            conditions: Some(conditions()),
            daemon_endpoints: Some(NodeDaemonEndpoints {
                kubelet_endpoint: Some(DaemonEndpoint {
                    port: KUBELET_PORT.into(),
                }),
            }),
            node_info: Some(NodeSystemInfo {
                architecture: architecture().to_owned(),
                kubelet_version: kubelet.to_owned(),
                operating_system: "linux".to_owned(),
                ..NodeSystemInfo::default()
            }),
            ..NodeStatus::default()
        }),
    }
}

fn labels_of(name: &str) -> BTreeMap<String, String> {
    [
        ("beta.kubernetes.io/arch", architecture()),
        ("beta.kubernetes.io/os", "linux"),
        ("kubernetes.io/arch", architecture()),
        ("kubernetes.io/hostname", name),
        ("kubernetes.io/os", "linux"),
        (labels::MADE_UP, "true"),
        (labels::MIRRORED, "true"),
    ]
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .into()
}

fn conditions() -> Vec<NodeCondition> {
    [
        ("MemoryPressure", "False"),
        ("DiskPressure", "False"),
        ("PIDPressure", "False"),
        ("Ready", "True"),
    ]
    .map(|(type_, status)| NodeCondition {
        type_: type_.to_owned(),
        status: status.to_owned(),
        reason: Some("MadeUp".to_owned()),
        ..NodeCondition::default()
    })
    .into()
}

/// The syncer's own, in Kubernetes' words: its node is most likely like the others.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_made_up_node_has_the_addresses_that_pods_tell() {
        let mut seen = Sighting::default();
        for status in [
            json!({"hostIP": "172.18.0.2", "hostIPs": [{"ip": "172.18.0.2"}, {"ip": "fc00::2"}]}),
            json!({"hostIP": "172.18.0.2"}),
            json!({}),
        ] {
            seen.add(&serde_json::from_value(json!({ "status": status })).unwrap());
        }
        seen.add(&Pod::default());
        let node = serde_json::to_value(made_up("worker", &seen, "v1.34.2")).unwrap();
        assert_eq!(
            node["status"]["addresses"],
            json!([
                {"type": "InternalIP", "address": "172.18.0.2"},
                {"type": "InternalIP", "address": "fc00::2"},
                {"type": "Hostname", "address": "worker"},
            ])
        );
        assert_eq!(node["status"]["nodeInfo"]["kubeletVersion"], "v1.34.2");
        assert_eq!(
            node["metadata"]["labels"]["kubernetes.io/hostname"],
            "worker"
        );
    }
}
