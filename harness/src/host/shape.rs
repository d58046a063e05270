//! What a host has to be like for a test: how many of its nodes run pods, and so which of this machine's
//! hosts it is. Hosts of other shapes are left alone.

use k8s_openapi::api::core::v1::Node as KubernetesNode;
use kube::{Api, api::ListParams};

use super::{Error, HostCluster};
use crate::{settings::HostChoice, version::KubernetesVersion};

/// The name of the shared host of this version that any test may use: it has one node.
pub fn shared_name(version: KubernetesVersion) -> String {
    format!("vcluster-test-{}-{}", version.major, version.minor)
}

/// The name of the kind host for a test that wants so many nodes. Machines have one per version and
/// number of nodes, unless the user named one.
pub(super) fn name(
    choice: &HostChoice,
    version: KubernetesVersion,
    nodes: Option<usize>,
) -> String {
    match (choice, nodes) {
        (HostChoice::Kind(name), _) => name.clone(),
        (_, None | Some(0 | 1)) => shared_name(version),
        (_, Some(nodes)) => format!("{}-{nodes}-nodes", shared_name(version)),
    }
}

/// Makes sure that pods can go to so many nodes of a host that may not have been made for it.
pub(super) async fn check(host: &HostCluster, wanted: usize) -> Result<(), Error> {
    let nodes = Api::<KubernetesNode>::all(host.client().await?)
        .list(&ListParams::default())
        .await
        .map_err(Error::api(host.name(), "list nodes"))?;
    let found = nodes.items.iter().filter(|node| runs_pods(node)).count();
    if found < wanted {
        return Err(Error::TooFewNodes {
            host: host.name().to_owned(),
            wanted,
            found,
        });
    }
    Ok(())
}

/// Does it take pods that tolerate nothing? Taints of Kubernetes itself pass, such as that of a node which
/// is not ready yet.
fn runs_pods(node: &KubernetesNode) -> bool {
    let Some(spec) = &node.spec else {
        return true;
    };
    let taints = spec.taints.iter().flatten();
    spec.unschedulable != Some(true)
        && taints.into_iter().all(|taint| {
            taint.effect == "PreferNoSchedule" || taint.key.starts_with("node.kubernetes.io/")
        })
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    #[rstest]
    #[case::any(HostChoice::Auto, None, "vcluster-test-1-34")]
    #[case::one(HostChoice::Auto, Some(1), "vcluster-test-1-34")]
    #[case::several(HostChoice::Auto, Some(3), "vcluster-test-1-34-3-nodes")]
    #[case::named(HostChoice::Kind("ci".to_owned()), Some(3), "ci")]
    fn every_shape_has_a_host_of_its_own(
        #[case] choice: HostChoice,
        #[case] nodes: Option<usize>,
        #[case] expected: &str,
    ) {
        assert_eq!(name(&choice, "1.34.2".parse().unwrap(), nodes), expected);
    }

    #[rstest]
    #[case::plain(json!({}), true)]
    #[case::cordoned(json!({"unschedulable": true}), false)]
    #[case::tainted(json!({"taints": [{"key": "k", "effect": "NoSchedule"}]}), false)]
    #[case::avoided(json!({"taints": [{"key": "k", "effect": "PreferNoSchedule"}]}), true)]
    #[case::not_ready_yet(json!({"taints": [{"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}]}), true)]
    fn only_nodes_that_take_pods_count(#[case] spec: serde_json::Value, #[case] expected: bool) {
        let node = serde_json::from_value(json!({"metadata": {}, "spec": spec})).unwrap();
        assert_eq!(runs_pods(&node), expected);
    }
}
