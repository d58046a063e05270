//! Config maps and secrets: on the host while something uses them.

use k8s_openapi::api::core::v1::{ConfigMap, LocalObjectReference, Pod, Secret};
use kube::ResourceExt;
use serde_json::json;

use super::world::{HOST, TEAM, World, config_map, host_name, names, pod, secret};
use crate::{fake_api::FakeApi, labels};

fn pod_with(config_map: &str) -> Pod {
    let mut pod = pod("web");
    let volumes = json!([{"name": "config", "configMap": {"name": config_map}}]);
    pod.spec.as_mut().unwrap().volumes = serde_json::from_value(volumes).unwrap();
    pod
}

fn color(cluster: &FakeApi, name: &str) -> Option<String> {
    let map = cluster.get::<ConfigMap>(HOST, &host_name(name))?;
    map.data.unwrap_or_default().get("color").cloned()
}

async fn wait_for_color(world: &World, expected: Option<&str>) {
    world
        .on_host
        .wait_for("the colour on the host", |cluster| {
            let found = color(cluster, "colors");
            (found.as_deref() == expected)
                .then_some(())
                .ok_or_else(|| format!("{found:?}"))
        })
        .await;
}

#[tokio::test]
async fn a_config_map_is_on_the_host_while_a_pod_uses_it() {
    let world = World::awake().await;
    world.on_virtual.put(&config_map("colors", "red"));
    world.on_virtual.put(&config_map("unused", "grey"));
    world.settle().await;
    assert_eq!(names(&world.on_host.list::<ConfigMap>()), "");
    world.on_virtual.put(&pod_with("colors"));
    wait_for_color(&world, Some("red")).await;
    world.on_virtual.edit::<ConfigMap>(TEAM, "colors", |map| {
        map.data = Some([("color".to_owned(), "blue".to_owned())].into());
    });
    wait_for_color(&world, Some("blue")).await;
    world.on_virtual.remove::<Pod>(TEAM, "web");
    wait_for_color(&world, None).await;
    world.settle().await;
    assert_eq!(names(&world.on_host.list::<ConfigMap>()), "");
}

#[tokio::test]
async fn a_pod_comes_after_what_it_needs() {
    let world = World::awake().await;
    world
        .on_host
        .refuse_creation("colors", http::StatusCode::SERVICE_UNAVAILABLE, "not now");
    world.on_virtual.put(&config_map("colors", "red"));
    world.on_virtual.put(&pod_with("colors"));
    world
        .on_host
        .wait_for("the pod", |cluster| {
            let pod = cluster.get::<Pod>(HOST, &host_name("web"));
            assert!(
                pod.is_none() || color(cluster, "colors").is_some(),
                "the pod came first"
            );
            pod.map(|_| ()).ok_or_else(String::new)
        })
        .await;
}

#[tokio::test]
async fn a_pod_does_not_wait_for_what_is_nowhere() {
    let world = World::awake().await;
    world.on_virtual.put(&pod_with("missing"));
    world
        .on_host
        .wait_for("the pod", |cluster| {
            cluster
                .get::<Pod>(HOST, &host_name("web"))
                .map(|_| ())
                .ok_or_else(String::new)
        })
        .await;
    // It comes later, as its author may well do it.
    world.on_virtual.put(&config_map("missing", "red"));
    world
        .on_host
        .wait_for("the config map", |cluster| {
            color(cluster, "missing").ok_or_else(String::new)
        })
        .await;
}

#[tokio::test]
async fn pull_secrets_are_in_use() {
    let world = World::awake().await;
    world.on_virtual.put(&secret("registry"));
    let mut pod = pod("web");
    pod.spec.as_mut().unwrap().image_pull_secrets = Some(vec![LocalObjectReference {
        name: "registry".to_owned(),
    }]);
    world.on_virtual.put(&pod);
    let twin = world
        .on_host
        .wait_for("the secret", |cluster| {
            cluster
                .get::<Secret>(HOST, &host_name("registry"))
                .ok_or_else(|| names(&cluster.list::<Secret>()))
        })
        .await;
    assert_eq!(twin.labels()[labels::NAMESPACE], "team");
}
