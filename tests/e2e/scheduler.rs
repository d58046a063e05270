//! A scheduler of the tenant's: it binds pods by what the virtual cluster says of nodes, and where
//! volumes are to be.

use std::pin::pin;

use anyhow::{Context as _, ensure};
use e2e::{gone, soon, start};
use futures::TryStreamExt as _;
use k8s_openapi::{
    api::{
        core::v1::{Namespace, Node, PersistentVolume, PersistentVolumeClaim, Pod},
        storage::v1::{CSIDriver, CSINode, CSIStorageCapacity, StorageClass},
    },
    apimachinery::pkg::apis::meta::v1::OwnerReference,
};
use kube::{
    Api, Client, ResourceExt as _,
    api::{DeleteParams, ListParams, ObjectMeta, Patch, PatchParams, PostParams},
    runtime::{WatchStreamExt as _, watcher},
};
use serde_json::json;
use vcluster_fixtures::pods::sleeper;
use vcluster_harness::{
    asset::Component,
    cluster::VirtualCluster,
    vcluster_test,
    wait::{self, conditions},
};

/// The nodes of the virtual cluster, once all of the host's are there.
async fn all_nodes(cluster: &VirtualCluster) -> anyhow::Result<Vec<Node>> {
    let host: Api<Node> = Api::all(cluster.host_client());
    let nodes: Api<Node> = Api::all(cluster.client());
    let mut shown = Vec::new();
    for node in host.list(&ListParams::default()).await? {
        let has_room = |node: Option<&Node>| {
            let status = node.and_then(|node| node.status.as_ref());
            status.is_some_and(|status| status.allocatable.is_some())
        };
        let name = node.name_any();
        let node = wait::until(&nodes, &name, has_room, soon("shown"));
        shown.push(node.await?.context("the node is gone")?);
    }
    Ok(shown)
}

#[vcluster_test(distro = "k8s", sync = "virtual-scheduler.yaml")]
async fn a_pod_stays_off_nodes_that_the_tenant_tainted(
    cluster: VirtualCluster,
    client: Client,
) -> anyhow::Result<()> {
    let nodes: Api<Node> = Api::all(client.clone());
    let mine = json!({"key": "mine", "value": "yes", "effect": "NoSchedule"});
    let all = all_nodes(&cluster).await?;
    for node in &all {
        let taints = node.spec.as_ref().and_then(|spec| spec.taints.clone());
        let mut taints = serde_json::to_value(taints.unwrap_or_default())?;
        let list = taints.as_array_mut().context("no list")?;
        list.push(mine.clone());
        let patch = Patch::Merge(json!({"spec": {"taints": taints}}));
        let name = node.name_any();
        nodes.patch(&name, &PatchParams::default(), &patch).await?;
    }
    let image = cluster.image(Component::Shell).await?;
    let pods: Api<Pod> = Api::default_namespaced(client);
    pods.create(&PostParams::default(), &sleeper("web", &image))
        .await?;
    let is_unschedulable = |pod: Option<&Pod>| {
        let status = pod.and_then(|pod| pod.status.as_ref());
        let mut conditions = status
            .into_iter()
            .flat_map(|s| s.conditions.iter().flatten());
        conditions.any(|condition| condition.reason.as_deref() == Some("Unschedulable"))
    };
    let pod = wait::until(&pods, "web", is_unschedulable, soon("refused by all nodes"));
    let message = serde_json::to_string(&pod.await?)?;
    ensure!(message.contains("untolerated taint"), "{message}");
    let twins: Api<Pod> = Api::namespaced(cluster.host_client(), cluster.namespace());
    let twin = cluster.host_key("default", "web").name;
    ensure!(twins.get_opt(&twin).await?.is_none(), "it is on the host");

    for node in &all {
        let kept: Vec<_> = nodes
            .get(&node.name_any())
            .await?
            .spec
            .and_then(|spec| spec.taints)
            .unwrap_or_default()
            .into_iter()
            .filter(|taint| taint.key != "mine")
            .collect();
        let patch = Patch::Merge(json!({"spec": {"taints": kept}}));
        let name = node.name_any();
        nodes.patch(&name, &PatchParams::default(), &patch).await?;
    }
    let pod = wait::until(&pods, "web", conditions::is_pod_ready(), soon("ready")).await?;
    let node = pod.and_then(|pod| pod.spec?.node_name);
    ensure!(twins.get(&twin).await?.spec.and_then(|spec| spec.node_name) == node);
    Ok(())
}

#[vcluster_test(distro = "k8s", sync = "virtual-scheduler.yaml")]
async fn a_claim_gets_its_volume_where_the_tenants_scheduler_puts_the_pod(
    cluster: VirtualCluster,
    client: Client,
) -> anyhow::Result<()> {
    let claims: Api<PersistentVolumeClaim> = Api::default_namespaced(client.clone());
    let claim = json!({
        "metadata": {"name": "data"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}},
    });
    let classes: Api<StorageClass> = Api::all(client.clone());
    let is_there = |class: Option<&StorageClass>| class.is_some();
    wait::until(&classes, "standard", is_there, soon("the host's class")).await?;
    claims
        .create(&PostParams::default(), &serde_json::from_value(claim)?)
        .await?;
    let image = cluster.image(Component::Shell).await?;
    let mut pod = serde_json::to_value(sleeper("web", &image))?;
    pod["spec"]["containers"][0]["volumeMounts"] = json!([{"name": "data", "mountPath": "/data"}]);
    pod["spec"]["volumes"] =
        json!([{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}]);
    let pods: Api<Pod> = Api::default_namespaced(client.clone());
    let pod = start(&pods, &serde_json::from_value(pod)?).await?;

    let node = pod.spec.and_then(|spec| spec.node_name);
    let claim = claims.get("data").await?;
    let chosen = claim
        .annotations()
        .get("volume.kubernetes.io/selected-node");
    ensure!(chosen == node.as_ref(), "{chosen:?} is not {node:?}");
    let volume = claim.spec.and_then(|spec| spec.volume_name);
    let volume = volume.context("the claim names no volume")?;
    let has_reach = |volume: Option<&PersistentVolume>| {
        let spec = volume.and_then(|volume| volume.spec.as_ref());
        spec.is_some_and(|spec| spec.node_affinity.is_some())
    };
    let volumes: Api<PersistentVolume> = Api::all(client);
    wait::until(&volumes, &volume, has_reach, soon("its node")).await?;
    Ok(())
}

#[vcluster_test(distro = "k8s", sync = "virtual-scheduler.yaml")]
async fn storage_drivers_of_the_host_are_shown_as_long_as_they_are_there(
    cluster: VirtualCluster,
    client: Client,
) -> anyhow::Result<()> {
    // Both end with the cluster's namespace, whatever happens here.
    let (host, name) = (cluster.host_client(), cluster.namespace().to_owned());
    let namespace: Namespace = Api::all(host.clone()).get(&name).await?;
    let driver: CSIDriver =
        serde_json::from_value(json!({"metadata": {"name": name}, "spec": {}}))?;
    let owner = OwnerReference {
        api_version: "v1".to_owned(),
        kind: "Namespace".to_owned(),
        name: name.clone(),
        uid: namespace.uid().context("no uid")?,
        ..OwnerReference::default()
    };
    let driver = CSIDriver {
        metadata: ObjectMeta {
            owner_references: Some(vec![owner]),
            ..driver.metadata
        },
        ..driver
    };
    let drivers: Api<CSIDriver> = Api::all(host.clone());
    drivers.create(&PostParams::default(), &driver).await?;
    let nodes = all_nodes(&cluster).await?;
    let zone = nodes.first().context("no node")?.name_any();
    let capacities: Api<CSIStorageCapacity> = Api::namespaced(host, &name);
    for (capacity, node) in [("here", zone.as_str()), ("elsewhere", "no-such-node")] {
        let capacity = json!({
            "metadata": {"name": capacity}, "storageClassName": name, "capacity": "7Gi",
            "nodeTopology": {"matchLabels": {"kubernetes.io/hostname": node}},
        });
        let capacity = serde_json::from_value(capacity)?;
        capacities.create(&PostParams::default(), &capacity).await?;
    }

    let is_there = |driver: Option<&CSIDriver>| driver.is_some();
    let shown: Api<CSIDriver> = Api::all(client.clone());
    wait::until(&shown, &name, is_there, soon("shown")).await?;
    let csi_nodes: Api<CSINode> = Api::all(client.clone());
    let is_there = |node: Option<&CSINode>| node.is_some();
    wait::until(&csi_nodes, &zone, is_there, soon("shown")).await?;
    let shown_capacities: Api<CSIStorageCapacity> = Api::namespaced(client, "kube-system");
    let mut watch =
        pin!(watcher(shown_capacities.clone(), watcher::Config::default()).applied_objects());
    let deadline = soon("the capacity");
    let capacity = loop {
        let seen = tokio::time::timeout_at(deadline.instant(), watch.try_next()).await;
        let seen = seen
            .context("no capacity came")??
            .context("the watch ended")?;
        if seen.storage_class_name == name {
            break seen;
        }
    };
    ensure!(capacity.capacity.as_ref().is_some_and(|it| it.0 == "7Gi"));
    let all = shown_capacities.list(&ListParams::default()).await?;
    let own = all.iter().filter(|it| it.storage_class_name == name);
    ensure!(own.count() == 1, "{all:?}");

    capacities.delete("here", &DeleteParams::default()).await?;
    gone(&shown_capacities, &capacity.name_any()).await?;
    drivers.delete(&name, &DeleteParams::default()).await?;
    gone(&shown, &name).await
}
