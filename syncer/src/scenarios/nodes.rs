//! Nodes: the host's as the tenant may see them, and made-up ones.

use std::time::Duration;

use k8s_openapi::api::core::v1::{Node, Pod, Taint};
use kube::ResourceExt;

use super::world::{HOST, TEAM, World, host_name, pod};

fn label(node: &mut Node, key: &str, value: &str) {
    node.labels_mut().insert(key.to_owned(), value.to_owned());
}

fn taint(node: &mut Node, key: &str) {
    let taint = Taint {
        key: key.to_owned(),
        effect: "NoSchedule".to_owned(),
        ..Taint::default()
    };
    let spec = node.spec.get_or_insert_default();
    spec.taints.get_or_insert_default().push(taint);
}

fn taints(node: &Node) -> Vec<String> {
    let taints = node.spec.iter().flat_map(|spec| &spec.taints);
    taints.flatten().map(|taint| taint.key.clone()).collect()
}

fn node(name: &str, disk: &str) -> Node {
    let mut node = Node::default();
    node.metadata.name = Some(name.to_owned());
    label(&mut node, "disk", disk);
    node
}

#[tokio::test]
async fn only_nodes_with_the_labels_are_shown_and_used() {
    let world = World::awake_with(|sync| {
        let labels = &mut sync.from_host.nodes.selector.labels;
        labels.insert("disk".to_owned(), "fast".to_owned());
    })
    .await;
    world.on_host.put(&node("slow", "slow"));
    world.on_host.put(&node("fast", "fast"));
    let shown = world
        .on_virtual
        .wait_for_object(None, "fast", |_: &Node| true);
    shown.await;
    assert_eq!(world.on_virtual.list::<Node>().len(), 1);

    world.on_virtual.put(&pod("web"));
    let twin = host_name("web");
    let twin = world.on_host.wait_for_object(HOST, &twin, |_: &Pod| true);
    let affinity = twin.await.spec.unwrap().affinity.unwrap();
    assert!(affinity.node_affinity.is_some());

    let mut elsewhere = pod("elsewhere");
    elsewhere.spec.as_mut().unwrap().node_name = Some("slow".to_owned());
    world.on_virtual.put(&elsewhere);
    let warning = world.warning().await;
    let note = warning.note.unwrap_or_default();
    assert!(note.contains("spec.nodeName"), "{note}");
    let twin = host_name("elsewhere");
    assert!(world.on_host.get::<Pod>(HOST, &twin).is_none());

    world
        .on_host
        .edit(None, "fast", |node: &mut Node| label(node, "disk", "slow"));
    world.on_virtual.wait_until_gone::<Node>(None, "fast").await;
}

#[tokio::test]
async fn a_made_up_node_is_where_a_pod_is_and_shows_nothing_of_the_host() {
    let world = World::awake_with(|sync| sync.from_host.nodes.enabled = false).await;
    world
        .on_host
        .edit(None, "worker", |node: &mut Node| label(node, "secret", "x"));
    world.on_virtual.put(&pod("web"));
    world.run_pod("web").await;
    let ip = Some("172.18.0.2".to_owned());
    world
        .on_host
        .edit(HOST, &host_name("web"), |pod: &mut Pod| {
            pod.status.as_mut().unwrap().host_ip = ip.clone();
        });
    let has_address = |node: &Node| {
        let addresses = node
            .status
            .as_ref()
            .and_then(|status| status.addresses.as_ref());
        let mut addresses = addresses.into_iter().flatten();
        addresses.any(|address| Some(&address.address) == ip.as_ref())
    };
    let shown = world
        .on_virtual
        .wait_for_object(None, "worker", has_address);
    let shown = shown.await;
    assert!(!shown.labels().contains_key("secret"));
    assert!(taints(&shown).is_empty());
    let info = shown.status.unwrap().node_info.unwrap();
    assert_eq!(info.kubelet_version, "v1.34.2");
}

#[tokio::test]
async fn labels_of_the_tenant_stay_and_taints_are_the_hosts() {
    let world = World::awake_with(|sync| sync.from_host.nodes.selector.all = true).await;
    world.on_host.edit(None, "worker", |node: &mut Node| {
        label(node, "zone", "a");
        taint(node, "gpu");
    });
    let has_taint = |node: &Node| taints(node) == ["gpu"];
    let shown = world.on_virtual.wait_for_object(None, "worker", has_taint);
    shown.await;
    world.on_virtual.edit(None, "worker", |node: &mut Node| {
        label(node, "zone", "b");
        label(node, "mine", "yes");
        taint(node, "mine");
    });
    let is_mended = |node: &Node| node.labels()["zone"] == "a" && taints(node) == ["gpu"];
    let shown = world.on_virtual.wait_for_object(None, "worker", is_mended);
    assert_eq!(shown.await.labels()["mine"], "yes");
    world.settle().await;
}

#[tokio::test]
async fn a_node_goes_when_no_pod_is_on_it_any_more() {
    let world = World::awake().await;
    world.on_virtual.put(&pod("web"));
    world.run_pod("web").await;
    let shown = world
        .on_virtual
        .wait_for_object(None, "worker", |_: &Node| true);
    shown.await;
    world.on_virtual.remove::<Pod>(TEAM, "web");
    world
        .on_host
        .wait_until_gone::<Pod>(HOST, &host_name("web"))
        .await;
    world.settle().await;
    assert!(world.on_virtual.get::<Node>(None, "worker").is_some());
    // The clock runs ahead when nobody has anything to do.
    tokio::time::pause();
    tokio::time::sleep(Duration::from_secs(11)).await;
    assert!(world.on_virtual.get::<Node>(None, "worker").is_none());
}
