//! A scheduler in the virtual cluster: what it sees, and when its pods go to the host.

use k8s_openapi::api::{
    core::v1::{
        Node, PersistentVolume, PersistentVolumeClaim, PersistentVolumeClaimSpec, Pod, Taint,
    },
    storage::v1::{CSIDriver, CSINode, CSIStorageCapacity},
};
use kube::ResourceExt;
use serde_json::{Value, json};

use super::world::{HOST, TEAM, World, host_name, meta, pod};
use crate::{config::Sync, resource::Synced};

/// Where a scheduler says where a volume is to be.
const CHOICE: &str = "volume.kubernetes.io/selected-node";

async fn with_scheduler() -> World {
    World::awake_with(|sync| sync.virtual_scheduler.enabled = true).await
}

fn read<K: Synced>(object: Value) -> K {
    serde_json::from_value(object).unwrap()
}

fn bind(world: &World, name: &str, node: &str) {
    world.on_virtual.edit(TEAM, name, |pod: &mut Pod| {
        pod.spec.as_mut().unwrap().node_name = Some(node.to_owned());
    });
}

#[tokio::test]
async fn a_pod_goes_to_the_host_once_it_is_bound() {
    let world = with_scheduler().await;
    world.on_virtual.put(&pod("web"));
    world.settle().await;
    assert!(world.on_host.list::<Pod>().is_empty());
    bind(&world, "web", "worker");
    let twin = host_name("web");
    let twin = world.on_host.wait_for_object(HOST, &twin, |_: &Pod| true);
    let node = twin.await.spec.unwrap().node_name;
    assert_eq!(node.as_deref(), Some("worker"));
    world.settle().await;
}

/// As a tenant does that tries a scheduler of its own, or means one that the host has.
#[tokio::test]
async fn a_pod_of_another_scheduler_goes_to_the_host_once_that_has_bound_it() {
    let choose = |sync: &mut Sync| {
        sync.to_host.pods.scheduler_names = vec!["volcano".to_owned()];
        sync.from_host.nodes.selector.all = true;
    };
    let world = World::awake_with(choose).await;
    let of = |name: &str, scheduler: &str| {
        let mut pod = pod(name);
        pod.spec.as_mut().unwrap().scheduler_name = Some(scheduler.to_owned());
        pod
    };
    world.on_virtual.put(&of("web", "mine"));
    let note = world.warning().await.note.unwrap_or_default();
    let expected = "spec.schedulerName names `mine`, which is none of the host's schedulers";
    assert!(note.starts_with(expected), "{note}");
    world.on_virtual.put(&of("batch", "volcano"));
    let batch = host_name("batch");
    let is_volcanos = |twin: &Pod| {
        let spec = twin.spec.as_ref().unwrap();
        spec.scheduler_name.as_deref() == Some("volcano")
    };
    world
        .on_host
        .wait_for_object(HOST, &batch, is_volcanos)
        .await;
    world.settle().await;
    assert_eq!(world.on_host.list::<Pod>().len(), 1);

    bind(&world, "web", "worker");
    let is_bound = |twin: &Pod| {
        let spec = twin.spec.as_ref().unwrap();
        spec.node_name.as_deref() == Some("worker") && spec.scheduler_name.is_none()
    };
    world
        .on_host
        .wait_for_object(HOST, &host_name("web"), is_bound)
        .await;
    world.settle().await;
}

#[tokio::test]
async fn a_pod_on_a_node_of_the_tenants_own_stays_virtual_and_it_is_told() {
    let world = with_scheduler().await;
    world
        .on_virtual
        .put(&read::<Node>(json!({"metadata": {"name": "dreamt"}})));
    world.on_virtual.put(&pod("web"));
    bind(&world, "web", "dreamt");
    let note = world.warning().await.note.unwrap_or_default();
    assert!(note.contains("spec.nodeName"), "{note}");
    assert!(world.on_host.list::<Pod>().is_empty());
}

#[tokio::test]
async fn taints_and_resources_of_the_tenant_stay() {
    let world = with_scheduler().await;
    let taint = |key: &str| Taint {
        key: key.to_owned(),
        effect: "NoSchedule".to_owned(),
        ..Taint::default()
    };
    let add = |node: &mut Node, key: &str| {
        let spec = node.spec.get_or_insert_default();
        spec.taints.get_or_insert_default().push(taint(key));
    };
    let taints = |node: &Node| {
        let taints = node
            .spec
            .iter()
            .flat_map(|spec| spec.taints.iter().flatten());
        taints.map(|taint| taint.key.clone()).collect::<Vec<_>>()
    };
    world.on_host.edit(None, "worker", |node: &mut Node| {
        add(node, "gpu");
        node.status = Some(read_status(json!({"capacity": {"cpu": "4"}})));
    });
    let has = |keys: &'static [&str]| move |node: &Node| taints(node) == keys;
    world
        .on_virtual
        .wait_for_object(None, "worker", has(&["gpu"]))
        .await;
    world.settle().await;
    world.on_virtual.edit(None, "worker", |node: &mut Node| {
        add(node, "mine");
        node.status = Some(read_status(
            json!({"capacity": {"cpu": "4", "example.com/gpu": "1"}}),
        ));
    });
    world.settle().await;
    world.on_host.edit(None, "worker", |node: &mut Node| {
        node.spec = None;
        add(node, "new");
        node.status = Some(read_status(json!({"capacity": {"cpu": "8"}})));
    });
    let shown = world
        .on_virtual
        .wait_for_object(None, "worker", has(&["new", "mine"]));
    shown.await;
    world.settle().await;
    let shown = world.on_virtual.get::<Node>(None, "worker").unwrap();
    let status = serde_json::to_value(shown.status).unwrap();
    assert_eq!(
        status["capacity"],
        json!({"cpu": "8", "example.com/gpu": "1"})
    );
}

fn read_status(status: Value) -> k8s_openapi::api::core::v1::NodeStatus {
    serde_json::from_value(status).unwrap()
}

#[tokio::test]
async fn what_others_run_on_a_node_is_not_offered() {
    let world = with_scheduler().await;
    world.on_host.edit(None, "worker", |node: &mut Node| {
        node.status = Some(read_status(
            json!({"allocatable": {"cpu": "4", "pods": "110"}}),
        ));
    });
    let offers = |cpu: &'static str, pods: &'static str| {
        move |node: &Node| {
            let status = serde_json::to_value(&node.status).unwrap();
            status["allocatable"] == json!({"cpu": cpu, "pods": pods})
        }
    };
    world
        .on_virtual
        .wait_for_object(None, "worker", offers("4", "110"))
        .await;
    let other: Pod = read(json!({
        "metadata": {"name": "db", "namespace": "elsewhere"},
        "spec": {"nodeName": "worker", "containers": [
            {"name": "main", "resources": {"requests": {"cpu": "1500m"}}}]},
    }));
    world.on_host.put(&other);
    world
        .on_virtual
        .wait_for_object(None, "worker", offers("2500m", "109"))
        .await;
    // What the tenant runs there, its scheduler knows.
    world.on_virtual.put(&pod("web"));
    bind(&world, "web", "worker");
    let twin = host_name("web");
    world
        .on_host
        .wait_for_object(HOST, &twin, |_: &Pod| true)
        .await;
    world.settle().await;
    let shown = world.on_virtual.get::<Node>(None, "worker").unwrap();
    assert!(offers("2500m", "109")(&shown), "{shown:?}");
    world
        .on_host
        .edit(Some("elsewhere"), "db", |pod: &mut Pod| {
            pod.status.get_or_insert_default().phase = Some("Succeeded".to_owned());
        });
    world
        .on_virtual
        .wait_for_object(None, "worker", offers("4", "110"))
        .await;
}

#[tokio::test]
async fn a_claim_carries_the_tenants_choice_and_its_volume_the_hosts_reach() {
    let world = with_scheduler().await;
    let mut claim = PersistentVolumeClaim {
        metadata: meta("data"),
        spec: Some(PersistentVolumeClaimSpec::default()),
        ..PersistentVolumeClaim::default()
    };
    claim
        .annotations_mut()
        .insert(CHOICE.to_owned(), "worker".to_owned());
    world.on_virtual.put(&claim);
    let is_chosen = |claim: &PersistentVolumeClaim| {
        claim.annotations().get(CHOICE).map(String::as_str) == Some("worker")
    };
    let twin = host_name("data");
    world.on_host.wait_for_object(HOST, &twin, is_chosen).await;
    let affinity = json!({"required": {"nodeSelectorTerms": [{"matchExpressions": [
        {"key": "kubernetes.io/hostname", "operator": "In", "values": ["worker"]}]}]}});
    world.on_host.put(&read::<PersistentVolume>(
        json!({"metadata": {"name": "disk"}, "spec": {"nodeAffinity": affinity}}),
    ));
    world
        .on_host
        .edit(HOST, &twin, |claim: &mut PersistentVolumeClaim| {
            claim.spec.as_mut().unwrap().volume_name = Some("disk".to_owned());
            claim.annotations_mut().insert(
                "pv.kubernetes.io/bind-completed".to_owned(),
                "yes".to_owned(),
            );
        });
    let has_reach = |volume: &PersistentVolume| {
        serde_json::to_value(volume).unwrap()["spec"]["nodeAffinity"] == affinity
    };
    world
        .on_virtual
        .wait_for_object(None, "disk", has_reach)
        .await;
    world.settle().await;
}

#[tokio::test]
async fn drivers_and_their_room_are_shown_where_the_tenants_pods_may_be() {
    let world = World::awake_with(|sync| {
        sync.virtual_scheduler.enabled = true;
        let labels = &mut sync.from_host.nodes.selector.labels;
        labels.insert("disk".to_owned(), "fast".to_owned());
    })
    .await;
    for (name, disk) in [("fast", "fast"), ("slow", "slow")] {
        world.on_host.put(&read::<Node>(
            json!({"metadata": {"name": name, "labels": {"disk": disk}}}),
        ));
        world.on_host.put(&read::<CSINode>(
            json!({"metadata": {"name": name}, "spec": {"drivers": []}}),
        ));
        world.on_host.put(&read::<CSIStorageCapacity>(json!({
            "metadata": {"name": "room", "namespace": format!("driver-{name}")},
            "storageClassName": name, "nodeTopology": {"matchLabels": {"disk": disk}},
        })));
    }
    world.on_host.put(&read::<CSIDriver>(
        json!({"metadata": {"name": "driver"}, "spec": {}}),
    ));
    world
        .on_virtual
        .wait_for_object(None, "driver", |_: &CSIDriver| true)
        .await;
    world
        .on_virtual
        .wait_for_object(None, "fast", |_: &CSINode| true)
        .await;
    world.settle().await;
    assert_eq!(world.on_virtual.list::<CSINode>().len(), 1);
    let rooms = world.on_virtual.list::<CSIStorageCapacity>();
    let [room] = &rooms[..] else {
        panic!("{rooms:?}");
    };
    assert_eq!(room.storage_class_name, "fast");
    assert_eq!(room.namespace().as_deref(), Some("kube-system"));
    assert!(!room.name_any().contains("driver-fast"));
    // A tenant that deletes it gets it back, and it goes with the host's.
    let (namespace, name) = (room.namespace(), room.name_any());
    let namespace = namespace.as_deref();
    world
        .on_virtual
        .remove::<CSIStorageCapacity>(namespace, &name);
    let is_back = |_: &CSIStorageCapacity| true;
    world
        .on_virtual
        .wait_for_object(namespace, &name, is_back)
        .await;
    world
        .on_host
        .remove::<CSIStorageCapacity>(Some("driver-fast"), "room");
    world
        .on_virtual
        .wait_until_gone::<CSIStorageCapacity>(namespace, &name)
        .await;
}
