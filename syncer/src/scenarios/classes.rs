//! Classes: the host's in the virtual cluster, and the tenant's on the host.

use http::StatusCode;
use k8s_openapi::{
    api::{core::v1::Pod, scheduling::v1::PriorityClass, storage::v1::StorageClass},
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use kube::ResourceExt;

use super::world::{HOST, World, host_name, pod};
use crate::metadata::is_mirrored;

fn storage_class(name: &str, provisioner: &str) -> StorageClass {
    StorageClass {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            ..ObjectMeta::default()
        },
        provisioner: provisioner.to_owned(),
        ..StorageClass::default()
    }
}

async fn wait_for_provisioner(world: &World, name: &str, expected: &str) {
    let is_met = |class: &StorageClass| class.provisioner == expected;
    world.on_virtual.wait_for_object(None, name, is_met).await;
}

#[tokio::test]
async fn classes_of_the_host_come_change_and_go() {
    let world = World::awake_with(|sync| sync.from_host.storage_classes.enabled = true).await;
    world.on_host.put(&storage_class("standard", "one"));
    wait_for_provisioner(&world, "standard", "one").await;
    world
        .on_host
        .edit::<StorageClass>(None, "standard", |class| {
            class.labels_mut().insert("tier".to_owned(), "1".to_owned());
        });
    let is_labelled = |class: &StorageClass| class.labels().contains_key("tier");
    world
        .on_virtual
        .wait_for_object(None, "standard", is_labelled)
        .await;
    // A tenant that deletes it gets it back.
    world.on_virtual.remove::<StorageClass>(None, "standard");
    wait_for_provisioner(&world, "standard", "one").await;
    world.on_host.remove::<StorageClass>(None, "standard");
    world
        .on_virtual
        .wait_until_gone::<StorageClass>(None, "standard")
        .await;
}

#[tokio::test]
async fn another_class_of_the_same_name_replaces_the_first() {
    let world = World::awake_with(|sync| sync.from_host.storage_classes.enabled = true).await;
    world.on_host.put(&storage_class("standard", "one"));
    wait_for_provisioner(&world, "standard", "one").await;
    world.settle().await;
    // As an API server does when what never changes is to change.
    world.on_virtual.refuse_change(
        "standard",
        StatusCode::UNPROCESSABLE_ENTITY,
        "updates to provisioner are forbidden",
    );
    world.on_host.put(&storage_class("standard", "two"));
    wait_for_provisioner(&world, "standard", "two").await;
}

#[tokio::test]
async fn a_class_of_the_tenant_is_not_taken_over() {
    let world = World::awake_with(|sync| sync.from_host.storage_classes.enabled = true).await;
    let own = world.on_virtual.put(&storage_class("standard", "mine"));
    world.on_host.put(&storage_class("standard", "hosts"));
    world.on_host.put(&storage_class("other", "hosts"));
    wait_for_provisioner(&world, "other", "hosts").await;
    world.settle().await;
    let found = world.on_virtual.get::<StorageClass>(None, "standard");
    assert_eq!(found.as_ref(), Some(&own));
    assert!(!is_mirrored(&own));
}

#[tokio::test]
async fn a_pod_waits_for_its_class_which_ends_with_the_cluster() {
    let world = World::awake_with(|sync| sync.to_host.priority_classes.enabled = true).await;
    let mut pod = pod("web");
    pod.spec.as_mut().unwrap().priority_class_name = Some("high".to_owned());
    let high = "vcluster-high-x-vcluster-test-x-test";
    world
        .on_host
        .refuse_creation(high, StatusCode::SERVICE_UNAVAILABLE, "not now");
    world.on_virtual.put(&PriorityClass {
        metadata: ObjectMeta {
            name: Some("high".to_owned()),
            ..ObjectMeta::default()
        },
        ..PriorityClass::default()
    });
    world.on_virtual.put(&pod);
    let twin = world
        .on_host
        .wait_for_object::<Pod>(HOST, &host_name("web"), |_| true)
        .await;
    assert_eq!(
        twin.spec.unwrap().priority_class_name.as_deref(),
        Some(high)
    );
    let class = world.on_host.get::<PriorityClass>(None, high).unwrap();
    assert_eq!(class.owner_references()[0].uid, "uid-of-namespace");
    world.on_virtual.remove::<PriorityClass>(None, "high");
    world
        .on_host
        .wait_until_gone::<PriorityClass>(None, high)
        .await;
}
