//! The pod network of nodes whose image brings no network of its own as a manifest: a CNI
//! configuration per node, routes between the nodes, and masquerading towards the outside. Everything is
//! replaced when done again, since a restarted node has lost its routes.

use std::net::IpAddr;

use futures::future::try_join_all;
use ipnet::IpNet;
use k8s_openapi::api::core::v1::Node as KubernetesNode;
use kube::{Api, Client};
use serde_json::json;

use super::super::{
    Error,
    node::{Command, Node},
};
use crate::{deadline::Deadline, wait};

/// A node with its share of the pod addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Member {
    pub(super) node: String,
    pub(super) address: IpAddr,
    pub(super) pods: IpNet,
}

/// Lies in memory: gone after a restart, as the routes are.
pub(super) const MARKER: &str = "/run/vcluster-test-pod-network";

const CONFIGURATION: &str = "/etc/cni/net.d/10-vcluster-test.conflist";

/// Takes away what the image configured, so that the node is not ready before its share is known.
pub(super) async fn clear(node: &Node) -> Result<(), Error> {
    node.run(Command::new(["sh", "-c", "rm -f /etc/cni/net.d/*"]))
        .await
        .map(drop)
}

/// Sets up `node`, one of `members`.
pub(super) async fn set_up(node: &Node, members: &[Member], pods: &str) -> Result<(), Error> {
    let Some(own) = members.iter().find(|member| member.node == node.name) else {
        return Ok(());
    };
    node.run(Command::new(["sh", "-ec", &script(own, members, pods)]))
        .await?;
    node.run(Command::new(["sh", "-c", "rm -f /etc/cni/net.d/*"]))
        .await?;
    node.write(CONFIGURATION, &configuration(own)).await?;
    node.write(MARKER, "").await
}

/// Sets up all `nodes` once each of them has got its share.
pub(super) async fn join(
    client: &Client,
    cluster: &str,
    nodes: &[Node],
    pods: &str,
    deadline: Deadline,
) -> Result<(), Error> {
    let members = if let [only] = nodes {
        vec![alone(only, pods)?]
    } else {
        shares(client, cluster, nodes, deadline).await?
    };
    try_join_all(nodes.iter().map(|node| set_up(node, &members, pods))).await?;
    Ok(())
}

/// A node that is alone has all the addresses.
pub(super) fn alone(node: &Node, pods: &str) -> Result<Member, Error> {
    Ok(Member {
        node: node.name.clone(),
        address: node.address,
        pods: pods
            .parse()
            .map_err(|error: ipnet::AddrParseError| Error::Option {
                option: "pod subnet",
                value: pods.to_owned(),
                reason: error.to_string(),
            })?,
    })
}

/// Waits for the shares that the controller manager gives the nodes.
async fn shares(
    client: &Client,
    cluster: &str,
    nodes: &[Node],
    deadline: Deadline,
) -> Result<Vec<Member>, Error> {
    let api: Api<KubernetesNode> = Api::all(client.clone());
    let waits = nodes.iter().map(|node| async {
        let has_share = |found: Option<&KubernetesNode>| share(found).is_some();
        let found = wait::until(&api, &node.name, has_share, deadline).await;
        match found.as_ref().map(|found| share(found.as_ref())) {
            Ok(Some(pods)) => Ok(Member {
                node: node.name.clone(),
                address: node.address,
                pods,
            }),
            _ => Err(Error::NotReady {
                host: cluster.to_owned(),
                awaited: format!("the pod addresses of node {}", node.name),
                waited: deadline.elapsed(),
                last_seen: found.map_or_else(|error| error.to_string(), |_| "none".to_owned()),
            }),
        }
    });
    try_join_all(waits).await
}

fn share(node: Option<&KubernetesNode>) -> Option<IpNet> {
    node?.spec.as_ref()?.pod_cidr.as_ref()?.parse().ok()
}

/// Point to point rather than a bridge: all traffic passes the node's own rules, so service addresses
/// work between pods of one node without the kernel's bridge filter.
fn configuration(own: &Member) -> String {
    let everywhere = match own.pods {
        IpNet::V4(_) => "0.0.0.0/0",
        IpNet::V6(_) => "::/0",
    };
    let configuration = json!({
        "cniVersion": "0.4.0",
        "name": "vcluster-test",
        "plugins": [
            {
                "type": "ptp",
                "ipMasq": false,
                "ipam": {
                    "type": "host-local",
                    // In memory, like the pods' sandboxes.
                    "dataDir": "/run/cni-ipam-state",
                    "ranges": [[{"subnet": own.pods}]],
                    "routes": [{"dst": everywhere}],
                },
            },
            {"type": "portmap", "capabilities": {"portMappings": true}},
        ],
    });
    format!("{configuration:#}\n")
}

fn script(own: &Member, members: &[Member], pods: &str) -> String {
    const CHAIN: &str = "VCLUSTER-TEST-MASQ";
    let mut lines = vec![
        "sysctl -qw net.ipv4.ip_forward=1".to_owned(),
        format!("iptables -w -t nat -N {CHAIN} 2>/dev/null || iptables -w -t nat -F {CHAIN}"),
        format!("iptables -w -t nat -A {CHAIN} -d {pods} -j RETURN"),
        format!("iptables -w -t nat -A {CHAIN} -j MASQUERADE"),
        format!(
            "iptables -w -t nat -C POSTROUTING -s {0} -j {CHAIN} 2>/dev/null || \
             iptables -w -t nat -A POSTROUTING -s {0} -j {CHAIN}",
            own.pods
        ),
    ];
    lines.extend(
        members
            .iter()
            .filter(|member| member.node != own.node)
            .map(|member| format!("ip route replace {} via {}", member.pods, member.address)),
    );
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn members() -> [Member; 2] {
        [("a", 2, "10.244.0.0/22"), ("b", 3, "10.244.4.0/22")].map(|(node, last, pods)| Member {
            node: node.to_owned(),
            address: [172, 18, 0, last].into(),
            pods: pods.parse().unwrap(),
        })
    }

    #[test]
    fn a_node_has_routes_to_the_others_only() {
        let members = members();
        insta::assert_snapshot!(script(&members[0], &members, "10.244.0.0/16"));
    }

    #[test]
    fn a_node_gives_addresses_from_its_share() {
        insta::assert_snapshot!(configuration(&members()[1]));
    }
}
