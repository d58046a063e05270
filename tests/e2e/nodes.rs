//! Nodes: the tenant sees the real ones that carry its pods.

use anyhow::{Context as _, ensure};
use e2e::{soon, start};
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::{Api, Client};
use vcluster_fixtures::pods::sleeper;
use vcluster_harness::{asset::Component, cluster::VirtualCluster, vcluster_test, wait};

#[vcluster_test(distro = "k8s")]
async fn a_node_that_carries_a_pod_is_shown_as_it_is(
    cluster: VirtualCluster,
    client: Client,
) -> anyhow::Result<()> {
    let image = cluster.image(Component::Shell).await?;
    let pods: Api<Pod> = Api::default_namespaced(client.clone());
    let pod = start(&pods, &sleeper("web", &image)).await?;
    let name = pod
        .spec
        .and_then(|spec| spec.node_name)
        .context("the pod has no node")?;

    let is_ready = |node: Option<&Node>| {
        node.and_then(|node| node.status.as_ref()?.conditions.as_ref())
            .is_some_and(|all| all.iter().any(|c| c.type_ == "Ready" && c.status == "True"))
    };
    let node = wait::until(&Api::<Node>::all(client), &name, is_ready, soon("ready"))
        .await?
        .context("the node is gone")?;

    let host: Node = Api::all(cluster.host_client()).get(&name).await?;
    let addresses = |node: &Node| node.status.as_ref().and_then(|s| s.addresses.clone());
    ensure!(addresses(&node) == addresses(&host));
    let capacity = |node: &Node| node.status.as_ref().and_then(|s| s.capacity.clone());
    ensure!(capacity(&node) == capacity(&host));
    Ok(())
}
