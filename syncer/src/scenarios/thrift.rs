//! What many objects have in common is looked at once, not once for each.

use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use serde_json::json;

use super::world::{HOST, World, config_map, host_name, pod};

/// A pod that reads the config map `shared`.
fn reader(name: &str) -> Pod {
    let mut pod = pod(name);
    let volumes = json!([{"name": "shared", "configMap": {"name": "shared"}}]);
    pod.spec.as_mut().unwrap().volumes = serde_json::from_value(volumes).unwrap();
    pod
}

#[tokio::test]
async fn one_more_pod_costs_no_turn_of_the_config_map_that_others_use() {
    let world = World::awake().await;
    world.on_virtual.put(&config_map("shared", "red"));
    world.on_virtual.put(&reader("first"));
    world
        .on_host
        .wait_for_object::<ConfigMap>(HOST, &host_name("shared"), |_| true)
        .await;
    world.settle().await;
    let turns = world.turns("ConfigMap");
    for number in 0..20 {
        world.on_virtual.put(&reader(&format!("pod-{number}")));
    }
    world
        .on_host
        .wait_for("all pods", |host| {
            let there = host.count::<Pod>();
            (there == 21).then_some(()).ok_or(format!("{there}"))
        })
        .await;
    assert_eq!(world.turns("ConfigMap"), turns);
}
