//! Nodes: the tenant sees the real ones that carry its pods, those with a label, or made-up ones.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use e2e::{soon, start};
use k8s_openapi::api::{
    core::v1::{Node, Pod},
    rbac::v1::ClusterRole,
};
use kube::{
    Api, Client, ResourceExt as _,
    api::{ListParams, LogParams, Patch, PatchParams},
};
use serde_json::json;
use vcluster_fixtures::pods::{shell, sleeper};
use vcluster_harness::{asset::Component, cluster::VirtualCluster, vcluster_test, wait};

fn addresses(node: &Node) -> Vec<String> {
    let addresses = node.status.as_ref().and_then(|s| s.addresses.as_ref());
    let internal = addresses.into_iter().flatten();
    let internal = internal.filter(|address| address.type_ == "InternalIP");
    internal.map(|address| address.address.clone()).collect()
}

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
    let node = wait::until(
        &Api::<Node>::all(client.clone()),
        &name,
        is_ready,
        soon("ready"),
    )
    .await?
    .context("the node is gone")?;

    let host: Node = Api::all(cluster.host_client()).get(&name).await?;
    let addresses = |node: &Node| node.status.as_ref().and_then(|s| s.addresses.clone());
    ensure!(addresses(&node) == addresses(&host));
    let capacity = |node: &Node| node.status.as_ref().and_then(|s| s.capacity.clone());
    ensure!(capacity(&node) == capacity(&host));
    let error = kubelet(&client, &name, "metrics").await.unwrap_err();
    ensure!(
        matches!(&error, kube::Error::Api(status) if status.code == 403)
            && error.to_string().contains("fromHost.nodes.metrics"),
        "{error:?}"
    );
    Ok(())
}

/// A pod `web` that says hello and stays, and the node that it is on.
async fn greeter(cluster: &VirtualCluster, pods: &Api<Pod>) -> anyhow::Result<(Pod, String)> {
    let image = cluster.image(Component::Shell).await?;
    let script = "echo hello; exec sleep 1000000";
    let pod = start(pods, &shell("web", &image, script)).await?;
    let node = pod.spec.as_ref().and_then(|spec| spec.node_name.clone());
    Ok((pod, node.context("the pod has no node")?))
}

#[vcluster_test(distro = "k8s", sync = "nodes-made-up.yaml")]
async fn a_made_up_node_serves_its_pods_and_shows_nothing_of_the_hosts(
    cluster: VirtualCluster,
    client: Client,
) -> anyhow::Result<()> {
    let pods: Api<Pod> = Api::default_namespaced(client.clone());
    let (pod, name) = greeter(&cluster, &pods).await?;
    let has_address = |node: Option<&Node>| node.is_some_and(|node| !addresses(node).is_empty());
    let nodes: Api<Node> = Api::all(client);
    let node = wait::until(&nodes, &name, has_address, soon("address"));
    let node = node.await?.context("the node is gone")?;

    let host: Node = Api::all(cluster.host_client()).get(&name).await?;
    let host_ip = pod.status.and_then(|status| status.host_ip);
    ensure!(addresses(&node) == [host_ip.context("the pod has no host address")?]);
    for label in host.labels().keys() {
        let is_every_nodes = label.ends_with("kubernetes.io/os")
            || label.ends_with("kubernetes.io/arch")
            || label == "kubernetes.io/hostname";
        ensure!(
            is_every_nodes || !node.labels().contains_key(label),
            "{label}"
        );
    }
    ensure!(pods.logs("web", &LogParams::default()).await? == "hello\n");
    let role = format!("vc-{}", cluster.name());
    let role: ClusterRole = Api::all(cluster.host_client()).get(&role).await?;
    let rules = role.rules.unwrap_or_default();
    ensure!(rules.is_empty(), "the syncer may {rules:?}");
    Ok(())
}

#[vcluster_test(distro = "k8s", sync = "nodes-labelled.yaml")]
async fn nodes_with_the_label_are_shown_before_a_pod_is_on_them(
    cluster: VirtualCluster,
    client: Client,
) -> anyhow::Result<()> {
    let host: Api<Node> = Api::all(cluster.host_client());
    let host = host.list(&ListParams::default()).await?.items;
    let nodes: Api<Node> = Api::all(client.clone());
    let taints = |node: &Node| node.spec.as_ref().and_then(|spec| spec.taints.clone());
    for node in &host {
        let is_shown = |shown: Option<&Node>| shown.is_some_and(|it| taints(it) == taints(node));
        wait::until(&nodes, &node.name_any(), is_shown, soon("shown")).await?;
    }
    let name = host.first().context("the host has no node")?.name_any();
    let labels = json!({"metadata": {"labels": {"mine": "yes", "kubernetes.io/os": "plan9"}}});
    nodes
        .patch(&name, &PatchParams::default(), &Patch::Merge(labels))
        .await?;
    let is_mended = |node: Option<&Node>| {
        node.is_some_and(|node| {
            node.labels()["kubernetes.io/os"] == "linux" && node.labels().contains_key("mine")
        })
    };
    wait::until(&nodes, &name, is_mended, soon("the host's own label")).await?;

    let image = cluster.image(Component::Shell).await?;
    start(&Api::default_namespaced(client), &sleeper("web", &image)).await?;
    let twin = cluster.host_key("default", "web").name;
    let twins: Api<Pod> = Api::namespaced(cluster.host_client(), cluster.namespace());
    let affinity = twins.get(&twin).await?.spec.and_then(|spec| spec.affinity);
    let required = serde_json::to_value(affinity)?;
    let required = &required["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"];
    let expected = json!([{"matchExpressions": [
        {"key": "kubernetes.io/os", "operator": "In", "values": ["linux"]}]}]);
    ensure!(required["nodeSelectorTerms"] == expected, "{required}");
    Ok(())
}

/// What the API server's proxy answers for the node's kubelet.
async fn kubelet(client: &Client, node: &str, path: &str) -> Result<String, kube::Error> {
    let path = format!("/api/v1/nodes/{node}/proxy/{path}");
    let request = http::Request::get(path).body(Vec::new());
    let request = request.map_err(kube::Error::HttpError)?;
    client.request_text(request).await
}

#[vcluster_test(distro = "k8s", sync = "nodes-metrics.yaml")]
async fn a_nodes_kubelet_answers_for_this_clusters_pods_alone(
    cluster: VirtualCluster,
    client: Client,
) -> anyhow::Result<()> {
    let pods: Api<Pod> = Api::default_namespaced(client.clone());
    let (_, node) = greeter(&cluster, &pods).await?;
    ensure!(kubelet(&client, &node, "healthz").await? == "ok");
    ensure!(kubelet(&client, &node, "containerLogs/default/web/main").await? == "hello\n");
    // The control plane of this very cluster runs on the node as well.
    let foreign = format!("{}-0", cluster.name());
    for path in [
        "pods",
        "runningpods/",
        "stats/summary",
        "metrics/cadvisor",
        "metrics/resource",
        "metrics/probes",
        "metrics",
    ] {
        let answer = kubelet(&client, &node, path).await;
        let answer = answer.with_context(|| format!("{path} is refused"))?;
        ensure!(!answer.contains(&foreign), "{path} shows the control plane");
        ensure!(
            !answer.contains(cluster.namespace()),
            "{path} shows the host"
        );
    }
    for path in ["pods", "runningpods/"] {
        let answer = kubelet(&client, &node, path).await?;
        ensure!(answer.contains("\"name\":\"web\""), "{path}: {answer}");
    }
    let error = kubelet(&client, &node, "configz").await.unwrap_err();
    ensure!(
        matches!(&error, kube::Error::Api(status) if status.code == 404),
        "{error:?}"
    );

    // A pod is in the kubelet's figures some seconds after it is there.
    let deadline = soon("figures of the pod");
    loop {
        let figures = kubelet(&client, &node, "stats/summary").await?;
        let figures: serde_json::Value = serde_json::from_str(&figures)?;
        let pods = figures["pods"].as_array().cloned().unwrap_or_default();
        if pods.iter().any(|pod| pod["podRef"]["name"] == "web") {
            break;
        }
        ensure!(
            tokio::time::Instant::now() < deadline.instant(),
            "the pod is in no figures: {figures}"
        );
        // The kubelet tells nobody when it has new ones.
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    Ok(())
}
