//! A cluster in which nothing happens costs nothing, and one in which nothing works costs little.

use std::time::Duration;

use http::StatusCode;
use jiff::Timestamp;
use k8s_openapi::{
    api::core::v1::{Node, NodeCondition, PersistentVolumeClaim, Pod, Service},
    apimachinery::pkg::apis::meta::v1::Time,
};
use serde_json::json;

use super::world::{HOST, World, config_map, host_name, meta, pod, secret};

#[tokio::test]
async fn nothing_is_written_in_a_quiet_minute() {
    let world = World::awake_with(|sync| {
        sync.to_host.config_maps.all = true;
        sync.to_host.secrets.all = true;
        sync.from_host.nodes.selector.all = true;
        sync.from_host.storage_classes.enabled = true;
    })
    .await;
    for name in ["web", "db"] {
        let mut pod = pod(name);
        let volumes = json!([{"name": "token", "projected": {"sources": [
            {"serviceAccountToken": {"path": "token"}}]}}]);
        pod.spec.as_mut().unwrap().volumes = serde_json::from_value(volumes).unwrap();
        world.on_virtual.put(&pod);
        world.run_pod(name).await;
        world.on_virtual.put(&config_map(name, "red"));
        world.on_virtual.put(&secret(name));
        world.on_virtual.put(&Service {
            metadata: meta(name),
            ..Service::default()
        });
        world.on_virtual.put(&PersistentVolumeClaim {
            metadata: meta(name),
            ..PersistentVolumeClaim::default()
        });
    }
    world.settle().await;
    let writes = world.writes();
    assert!(writes >= 20, "only {writes} writes: the story is too short");
    // The clock runs ahead when nobody has anything to do.
    tokio::time::pause();
    tokio::time::sleep(Duration::from_mins(1)).await;
    assert_eq!(world.writes(), writes);
}

#[tokio::test]
async fn a_node_that_says_that_all_is_well_is_not_written() {
    let world = World::awake_with(|sync| sync.from_host.nodes.selector.all = true).await;
    let beat = async |second: i64| {
        world.on_host.edit(None, "worker", |node: &mut Node| {
            let at = Timestamp::from_second(second).unwrap();
            node.status.get_or_insert_default().conditions = Some(vec![NodeCondition {
                type_: "Ready".to_owned(),
                status: "True".to_owned(),
                last_heartbeat_time: Some(Time(at)),
                ..NodeCondition::default()
            }]);
        });
        world.settle().await;
    };
    let is_shown = |node: &Node| {
        node.status
            .as_ref()
            .is_some_and(|it| it.conditions.is_some())
    };
    beat(1_000).await;
    world
        .on_virtual
        .wait_for_object(None, "worker", is_shown)
        .await;
    world.settle().await;
    let writes = world.writes();
    for second in (1_004..1_060).step_by(4) {
        beat(second).await;
    }
    assert_eq!(world.writes(), writes);
    beat(1_300).await;
    assert!(world.writes() > writes);
}

#[tokio::test]
async fn what_the_host_always_refuses_is_tried_less_and_less_often() {
    let world = World::awake().await;
    world
        .on_host
        .refuse_for_good(&host_name("web"), StatusCode::FORBIDDEN, "exceeded quota");
    world.on_virtual.put(&pod("web"));
    world.settle().await;
    let writes = world.on_host.writes();
    tokio::time::pause();
    tokio::time::sleep(Duration::from_mins(10)).await;
    let attempts = world.on_host.writes() - writes;
    // After 1, 2, 4, 8, 16 and 32 seconds, and then once a minute.
    assert!((8..=16).contains(&attempts), "{attempts} attempts");
    tokio::time::resume();
    world.on_virtual.put(&pod("other"));
    world
        .on_host
        .wait_for_object::<Pod>(HOST, &host_name("other"), |_| true)
        .await;
}
