//! What changes while a pod runs: containers to debug it, and what its containers may use.

use k8s_openapi::api::core::v1::{Container, Pod, Secret};
use kube::ResourceExt;
use serde_json::{Value, json};

use super::world::{HOST, TEAM, World, host_name, pod, secret};

/// A pod with these resources, and whatever comes to be.
fn pod_with(cpu: &str) -> Pod {
    let mut pod = pod("web");
    let resources = json!({"requests": {"cpu": cpu}});
    pod.spec.as_mut().unwrap().containers[0].resources = serde_json::from_value(resources).unwrap();
    pod
}

async fn running(world: &World) {
    world.on_virtual.put(&pod_with("1"));
    world.run_pod("web").await;
    world.settle().await;
}

fn resize(world: &World, cpu: &str) {
    world.on_virtual.edit::<Pod>(TEAM, "web", |pod| {
        pod.spec.as_mut().unwrap().containers[0].resources =
            pod_with(cpu).spec.unwrap().containers[0].resources.clone();
    });
}

fn cpu(pod: &Pod) -> Value {
    let value = serde_json::to_value(pod).unwrap();
    value["spec"]["containers"][0]["resources"]["requests"]["cpu"].clone()
}

#[tokio::test]
async fn a_container_to_debug_with_comes_after_what_it_needs() {
    let world = World::awake().await;
    running(&world).await;
    world.on_virtual.put(&secret("key"));
    let debugger = json!([{"name": "debugger", "image": "shell", "targetContainerName": "main",
        "envFrom": [{"secretRef": {"name": "key"}}]}]);
    world.on_virtual.edit::<Pod>(TEAM, "web", |pod| {
        pod.spec.as_mut().unwrap().ephemeral_containers = serde_json::from_value(debugger).unwrap();
    });
    let is_debugged = |pod: &Pod| pod.spec.as_ref().unwrap().ephemeral_containers.is_some();
    let host = host_name("web");
    let twin = world
        .on_host
        .wait_for_object::<Pod>(HOST, &host, is_debugged)
        .await;
    let container = &twin.spec.unwrap().ephemeral_containers.unwrap()[0];
    assert_eq!(container.target_container_name.as_deref(), Some("main"));
    let source = container.env_from.as_ref().unwrap()[0].secret_ref.clone();
    let secret = source.unwrap().name;
    assert!(world.on_host.get::<Secret>(HOST, &secret).is_some());
    world.settle().await;
}

#[tokio::test]
async fn a_running_container_is_resized() {
    let world = World::awake().await;
    running(&world).await;
    resize(&world, "2");
    let host = host_name("web");
    let is_larger = |pod: &Pod| cpu(pod) == "2";
    world
        .on_host
        .wait_for_object::<Pod>(HOST, &host, is_larger)
        .await;
    world.settle().await;
}

#[tokio::test]
async fn a_host_that_cannot_resize_says_so_and_all_else_goes_on() {
    let world = World::awake().await;
    running(&world).await;
    world.on_host.forget_subresource("resize");
    resize(&world, "2");
    let event = world.warning().await;
    assert_eq!(event.regarding.unwrap().name.as_deref(), Some("web"));
    world.on_virtual.edit::<Pod>(TEAM, "web", |pod| {
        pod.labels_mut()
            .insert("tier".to_owned(), "front".to_owned());
    });
    let is_labelled = |pod: &Pod| pod.labels().contains_key("tier");
    world
        .on_host
        .wait_for_object::<Pod>(HOST, &host_name("web"), is_labelled)
        .await;
}

#[tokio::test]
async fn what_the_hosts_admission_gives_a_pod_is_left_to_it() {
    let world = World::awake().await;
    running(&world).await;
    let host = host_name("web");
    world.on_host.edit::<Pod>(HOST, &host, |pod| {
        let resources = json!({"requests": {"cpu": "1"}, "limits": {"cpu": "4"}});
        pod.spec.as_mut().unwrap().containers[0].resources =
            serde_json::from_value(resources).unwrap();
    });
    let writes = world.on_host.writes();
    world.settle().await;
    assert_eq!(world.on_host.writes(), writes);
}

#[tokio::test]
async fn what_the_host_puts_into_a_pod_outlives_the_tenants_changes_unseen() {
    let world = World::awake().await;
    world.on_virtual.put(&pod("web"));
    world.run_pod("web").await;
    let host = host_name("web");
    let proxy = Container {
        name: "proxy".to_owned(),
        image: Some("proxy:1".to_owned()),
        ..Container::default()
    };
    let status = json!([
        {"name": "main", "image": "image:1", "imageID": "", "ready": true, "restartCount": 0},
        {"name": "proxy", "image": "proxy:1", "imageID": "", "ready": true, "restartCount": 0},
    ]);
    world.on_host.edit::<Pod>(HOST, &host, |pod| {
        pod.annotations_mut()
            .insert("example.com/injected".to_owned(), "yes".to_owned());
        let spec = pod.spec.as_mut().unwrap();
        spec.containers.push(proxy.clone());
        spec.init_containers
            .get_or_insert_default()
            .insert(0, proxy.clone());
        let status_of = pod.status.as_mut().unwrap();
        status_of.container_statuses = serde_json::from_value(status.clone()).unwrap();
    });
    world.on_virtual.edit::<Pod>(TEAM, "web", |pod| {
        pod.labels_mut().insert("app".to_owned(), "web".to_owned());
        pod.spec.as_mut().unwrap().containers[0].image = Some("image:2".to_owned());
    });
    let is_changed = |pod: &Pod| {
        let containers = &pod.spec.as_ref().unwrap().containers;
        containers[0].image.as_deref() == Some("image:2") && pod.labels().contains_key("app")
    };
    let twin = world.on_host.wait_for_object(HOST, &host, is_changed).await;
    world.settle().await;
    let spec = twin.spec.as_ref().unwrap();
    assert_eq!(spec.containers[1], proxy);
    assert_eq!(spec.init_containers.as_ref().unwrap()[0], proxy);
    assert_eq!(twin.annotations()["example.com/injected"], "yes");
    let own = world.on_virtual.get::<Pod>(TEAM, "web").unwrap();
    let shown = own.status.unwrap().container_statuses.unwrap();
    assert_eq!(shown.len(), 1, "{shown:?}");
    assert!(
        !own.metadata
            .annotations
            .unwrap_or_default()
            .contains_key("example.com/injected")
    );
}
