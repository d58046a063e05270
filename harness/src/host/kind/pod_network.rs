//! The pod network of nodes whose image has it built in: a CNI configuration per node, and routes between
//! the nodes, which are replaced when made again, since a restarted node has lost them.

use std::net::IpAddr;

use futures::future::try_join_all;
use ipnet::IpNet;
use k8s_openapi::api::core::v1::Node as KubernetesNode;
use kube::{Api, Client};
use serde_json::json;

use super::{
    super::{
        Error, files,
        node::{Command, Node},
    },
    find::wiring,
};
use crate::{deadline::Deadline, wait};

/// A node with its share of the pod addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Member {
    pub(super) node: String,
    /// One for each family of `pods`.
    pub(super) addresses: Vec<IpAddr>,
    pub(super) pods: Vec<IpNet>,
}

/// When the routes were made: as long as the container has not been started since, they are there.
pub(super) const ROUTES_OF: &str = "/kind/vcluster-test-routes-of";

/// The image masquerades these ranges at every start, a line each.
const RANGE: &str = "/kind/pod-subnet";

/// The first name in the directory counts, so that what the image brings may stay.
const CONFIGURATION: &str = "/etc/cni/net.d/00-vcluster-test.conflist";

/// What to write into a node that has not been started yet. A node that is alone has all the addresses,
/// and so is ready at once.
pub(super) fn first_files(pods: &[IpNet], is_alone: bool) -> Vec<(&'static str, String)> {
    let ranges: Vec<_> = pods.iter().map(ToString::to_string).collect();
    let mut files = vec![(RANGE, format!("{}\n", ranges.join("\n")))];
    if is_alone {
        files.push((CONFIGURATION, configuration(pods)));
    }
    files
}

/// Takes away what the image configured, so that the node is not ready before its share is known.
pub(super) async fn clear(node: &Node) -> Result<(), Error> {
    let command = Command::new(["sh", "-c", "rm -f /etc/cni/net.d/*"]);
    node.run(command).await.map(drop)
}

/// Sets up `node`, one of `members`.
async fn set_up(node: &Node, members: &[Member]) -> Result<(), Error> {
    let Some(own) = members.iter().find(|member| member.node == node.name) else {
        return Ok(());
    };
    let script = routes(own, members);
    node.run(Command::new(["sh", "-ec", &script])).await?;
    let started = wiring(&node.engine, &node.name).await?.started;
    let configuration = configuration(&own.pods);
    let files = [(CONFIGURATION, &*configuration), (ROUTES_OF, &*started)];
    files::write(&node.engine, &node.name, &files).await
}

/// Sets up all `nodes` once each of them has got its share.
pub(super) async fn join(
    client: &Client,
    cluster: &str,
    nodes: &[Node],
    deadline: Deadline,
) -> Result<(), Error> {
    let members = shares(client, cluster, nodes, deadline).await?;
    try_join_all(nodes.iter().map(|node| set_up(node, &members))).await?;
    Ok(())
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
                addresses: [node.address]
                    .into_iter()
                    .chain(node.second_address)
                    .collect(),
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

/// One range of each family of the cluster.
fn share(node: Option<&KubernetesNode>) -> Option<Vec<IpNet>> {
    let ranges = node?.spec.as_ref()?.pod_cidrs.as_ref()?;
    ranges.iter().map(|range| range.parse().ok()).collect()
}

/// Point to point rather than a bridge: all traffic passes the node's own rules, so service addresses
/// work between pods of one node without the kernel's bridge filter.
fn configuration(pods: &[IpNet]) -> String {
    let everywhere = pods.iter().map(|range| match range {
        IpNet::V4(_) => json!({"dst": "0.0.0.0/0"}),
        IpNet::V6(_) => json!({"dst": "::/0"}),
    });
    let everywhere: Vec<_> = everywhere.collect();
    let ranges: Vec<_> = pods
        .iter()
        .map(|range| json!([{"subnet": range}]))
        .collect();
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
                    "ranges": ranges,
                    "routes": everywhere,
                },
            },
            {"type": "portmap", "capabilities": {"portMappings": true}},
        ],
    });
    format!("{configuration:#}\n")
}

fn routes(own: &Member, members: &[Member]) -> String {
    let others = members.iter().filter(|member| member.node != own.node);
    let mut lines = vec!["sysctl -qw net.ipv4.ip_forward=1".to_owned()];
    for other in others {
        for range in &other.pods {
            let is_of_the_family = |address: &&IpAddr| address.is_ipv4() == range.addr().is_ipv4();
            let via = other.addresses.iter().find(is_of_the_family);
            lines.extend(via.map(|address| format!("ip route replace {range} via {address}")));
        }
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn members() -> [Member; 2] {
        [("a", 2, "10.244.0.0/22"), ("b", 3, "10.244.4.0/22")].map(|(node, last, pods)| Member {
            node: node.to_owned(),
            addresses: vec![[172, 18, 0, last].into()],
            pods: vec![pods.parse().unwrap()],
        })
    }

    /// With a second family.
    fn members_of_two_families() -> [Member; 2] {
        let mut members = members();
        for (member, (address, pods)) in members.iter_mut().zip([
            ("fc00::2", "fd00:10:244::/64"),
            ("fc00::3", "fd00:10:244:1::/64"),
        ]) {
            member.addresses.push(address.parse().unwrap());
            member.pods.push(pods.parse().unwrap());
        }
        members
    }

    #[test]
    fn a_node_has_routes_to_the_others_only() {
        let members = members();
        insta::assert_snapshot!(routes(&members[0], &members));
    }

    #[test]
    fn a_node_gives_addresses_from_its_share() {
        insta::assert_snapshot!(configuration(&members()[1].pods));
    }

    #[test]
    fn a_node_of_two_families_has_a_share_and_routes_of_each() {
        let members = members_of_two_families();
        insta::assert_snapshot!(configuration(&members[1].pods));
        let routes = routes(&members[0], &members);
        assert!(routes.contains("ip route replace 10.244.4.0/22 via 172.18.0.3\n"));
        assert!(routes.contains("ip route replace fd00:10:244:1::/64 via fc00::3"));
    }
}
