//! What a tenant asks add-ons of the host for.

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;

use super::world::{HOST, TEAM, World, host_name, pod};

const NETWORKS: &str = "k8s.v1.cni.cncf.io/networks";

fn on_networks(name: &str, networks: &str) -> Pod {
    let mut pod = pod(name);
    pod.annotations_mut()
        .insert(NETWORKS.to_owned(), networks.to_owned());
    pod
}

async fn twin(world: &World, name: &str) -> Pod {
    let name = host_name(name);
    world.on_host.wait_for_object(HOST, &name, |_| true).await
}

#[tokio::test]
async fn a_pod_comes_without_what_would_give_it_more_and_the_tenant_is_told() {
    let world = World::awake().await;
    world
        .on_virtual
        .put(&on_networks("web", "kube-system/admin"));
    let twin = twin(&world, "web").await;
    assert!(!twin.annotations().contains_key(NETWORKS));
    let warning = world.warning().await;
    assert_eq!(warning.reason.as_deref(), Some("PartlySynced"));
    let note = warning.note.unwrap_or_default();
    assert!(note.contains(NETWORKS), "{note}");
    assert!(note.contains("toHost.annotations.pass"), "{note}");

    // Neither a tenant that says it later nor one that says it again changes that.
    world.on_virtual.edit(TEAM, "web", |pod: &mut Pod| {
        let annotations = pod.annotations_mut();
        annotations.insert("linkerd.io/inject".to_owned(), "enabled".to_owned());
        annotations.insert("note".to_owned(), "mine".to_owned());
    });
    let is_noted = |twin: &Pod| twin.annotations().contains_key("note");
    let twin = world
        .on_host
        .wait_for_object(HOST, &host_name("web"), is_noted)
        .await;
    assert!(!twin.annotations().contains_key("linkerd.io/inject"));
    assert!(!twin.annotations().contains_key(NETWORKS));
    world.settle().await;
}

#[tokio::test]
async fn what_the_configuration_lets_pass_goes_as_far_as_the_cluster() {
    let world = World::awake_with(|sync| {
        sync.to_host.annotations.pass = vec![NETWORKS.to_owned()];
        sync.to_host.annotations.hold = vec!["team.example.com/*".to_owned()];
    })
    .await;
    let mut web = on_networks("web", "storage");
    web.annotations_mut()
        .insert("team.example.com/owner".to_owned(), "me".to_owned());
    world.on_virtual.put(&web);
    let web = twin(&world, "web").await;
    assert_eq!(web.annotations()[NETWORKS], "storage");
    assert!(!web.annotations().contains_key("team.example.com/owner"));

    world
        .on_virtual
        .put(&on_networks("spy", "kube-system/admin"));
    assert!(
        !twin(&world, "spy")
            .await
            .annotations()
            .contains_key(NETWORKS)
    );
    let warning = world.warning().await;
    let regarding = warning.regarding.unwrap_or_default();
    assert_eq!(regarding.name.as_deref(), Some("spy"));
    let note = warning.note.unwrap_or_default();
    assert!(note.contains("names another namespace"), "{note}");
    world.settle().await;
}
