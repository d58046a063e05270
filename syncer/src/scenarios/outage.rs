//! A side that cannot be reached for a while, or has no time: then everything converges, and nobody is
//! asked more often than it likes.

use std::{collections::BTreeMap, time::Duration};

use http::StatusCode;
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Secret};
use rstest::rstest;
use serde_json::json;
use tokio::time::{Instant, sleep};

use super::world::{HOST, TEAM, World, config_map, host_name, names, pod};
use crate::{fake_api::Condition, silence::PATIENCE, write::Side};

/// A pod that uses the config map `colors`.
fn using_pod(name: &str) -> Pod {
    let mut pod = pod(name);
    let volumes = json!([{"name": "map", "configMap": {"name": "colors"}}]);
    pod.spec.as_mut().unwrap().volumes = serde_json::from_value(volumes).unwrap();
    pod
}

/// How long everything may take after a side is back: the longest pause of a queue, and some requests.
const RECOVERY: Duration = Duration::from_secs(15);

#[rstest]
#[case::the_host_refuses(Side::Host, Condition::Refused, false)]
#[case::the_host_is_silent(Side::Host, Condition::Silent, false)]
#[case::the_host_is_busy(Side::Host, Condition::Busy(2), false)]
#[case::the_host_restarts_and_forgets(Side::Host, Condition::Refused, true)]
#[case::the_virtual_cluster_refuses(Side::Virtual, Condition::Refused, false)]
#[case::the_virtual_cluster_is_silent(Side::Virtual, Condition::Silent, false)]
#[case::the_virtual_cluster_is_busy(Side::Virtual, Condition::Busy(2), false)]
#[case::the_virtual_cluster_restarts_and_forgets(Side::Virtual, Condition::Refused, true)]
#[tokio::test(start_paused = true)]
async fn everything_converges_after_a_minute_in_which(
    #[case] side: Side,
    #[case] condition: Condition,
    #[case] forgets: bool,
) {
    let world = World::awake().await;
    world.on_virtual.put(&config_map("colors", "red"));
    for name in ["kept", "old"] {
        world.on_virtual.put(&using_pod(name));
        world.run_pod(name).await;
    }
    world.settle().await;
    let cut = match side {
        Side::Host => &world.on_host,
        Side::Virtual => &world.on_virtual,
    };
    cut.line().set(condition);
    // Tenants and the host go on, as they do not know.
    world.on_virtual.put(&using_pod("new"));
    world.on_virtual.put(&config_map("colors", "blue"));
    world.on_virtual.remove::<Pod>(TEAM, "old");
    world.on_host.edit::<Pod>(HOST, &host_name("kept"), |pod| {
        pod.status.as_mut().unwrap().phase = Some("Succeeded".to_owned());
    });
    sleep(Duration::from_mins(1)).await;
    if forgets {
        cut.break_watches();
    }
    cut.line().set(Condition::Good);

    let back = Instant::now();
    world.run_pod("new").await;
    let is_finished =
        |pod: &Pod| pod.status.as_ref().unwrap().phase.as_deref() == Some("Succeeded");
    world
        .on_virtual
        .wait_for_object::<Pod>(TEAM, "kept", is_finished)
        .await;
    let is_blue = |map: &ConfigMap| map.data.as_ref().unwrap()["color"] == "blue";
    world
        .on_host
        .wait_for_object::<ConfigMap>(HOST, &host_name("colors"), is_blue)
        .await;
    world
        .on_host
        .wait_until_gone::<Pod>(HOST, &host_name("old"))
        .await;
    assert!(back.elapsed() <= RECOVERY, "{:?}", back.elapsed());
    world.settle().await;
    let pods = names(&world.on_host.list::<Pod>());
    assert_eq!(pods, format!("{}, {}", host_name("kept"), host_name("new")));
}

/// Nothing tells that an answer will never come, and nothing else waits for it.
#[rstest]
#[case::the_host(Side::Host)]
#[case::the_virtual_cluster(Side::Virtual)]
#[tokio::test(start_paused = true)]
async fn what_is_never_answered_is_asked_again(#[case] side: Side) {
    let world = World::awake().await;
    world.on_virtual.put(&config_map("colors", "red"));
    world.on_virtual.put(&using_pod("kept"));
    world.run_pod("kept").await;
    let deaf = match side {
        Side::Host => &world.on_host,
        Side::Virtual => &world.on_virtual,
    };
    deaf.line().set(Condition::Deaf);
    // Watches begin again with a list.
    deaf.break_watches();
    world.on_virtual.put(&config_map("colors", "blue"));
    world.on_virtual.put(&using_pod("new"));
    let succeed = |pod: &mut Pod| {
        pod.status.as_mut().unwrap().phase = Some("Succeeded".to_owned());
    };
    world.on_host.edit(HOST, &host_name("kept"), succeed);
    sleep(Duration::from_secs(15)).await;
    deaf.line().set(Condition::Good);

    let back = Instant::now();
    world.run_pod("new").await;
    let is_blue = |map: &ConfigMap| map.data.as_ref().unwrap()["color"] == "blue";
    world
        .on_host
        .wait_for_object::<ConfigMap>(HOST, &host_name("colors"), is_blue)
        .await;
    let has_ended = |pod: &Pod| pod.status.as_ref().unwrap().phase.as_deref() == Some("Succeeded");
    world
        .on_virtual
        .wait_for_object::<Pod>(TEAM, "kept", has_ended)
        .await;
    assert!(
        back.elapsed() <= PATIENCE + RECOVERY,
        "{:?}",
        back.elapsed()
    );
}

/// The token that a pod asks for is no watch and no write of ours.
#[tokio::test(start_paused = true)]
async fn a_token_that_is_never_given_is_asked_for_again() {
    let world = World::awake().await;
    let mut pod = pod("web");
    let token = json!([{"name": "token", "projected": {"sources": [{"serviceAccountToken": {"path": "token"}}]}}]);
    pod.spec.as_mut().unwrap().volumes = serde_json::from_value(token).unwrap();
    world.on_virtual.line().set(Condition::Deaf);
    world.on_virtual.put(&pod);
    sleep(Duration::from_secs(15)).await;
    world.on_virtual.line().set(Condition::Good);
    world
        .on_host
        .wait_for("the token", |host| {
            let secrets = host.list::<Secret>();
            (!secrets.is_empty()).then_some(()).ok_or_else(String::new)
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_busy_host_is_left_in_peace_for_as_long_as_it_says() {
    let world = World::awake_with(|sync| sync.to_host.config_maps.all = true).await;
    world.settle().await;
    let line = world.on_host.line();
    line.set(Condition::Busy(7));
    for number in 0..50 {
        let map = config_map(&format!("map-{number}"), "red");
        world.on_virtual.put(&map);
    }
    sleep(Duration::from_mins(2)).await;
    let mut asked = BTreeMap::<String, Vec<Instant>>::new();
    for (what, at) in line.turned_away() {
        asked.entry(what).or_default().push(at);
    }
    let attempts: usize = asked.values().map(Vec::len).sum();
    assert!(asked.len() >= 50, "{:?}", asked.keys());
    assert!(attempts >= 2 * asked.len(), "and it is asked again");
    for (what, times) in asked {
        for pair in times.windows(2) {
            let pause = pair[1] - pair[0];
            assert!(pause >= Duration::from_secs(7), "{what} after {pause:?}");
        }
    }
    line.set(Condition::Good);
    world
        .on_host
        .wait_for("all config maps", |host| {
            let maps = host.list::<ConfigMap>();
            (maps.len() == 50).then_some(()).ok_or(names(&maps))
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_storm_of_conflicts_passes() {
    let world = World::awake().await;
    let conflict = |name: &str| {
        for _ in 0..8 {
            let message = "the object has been modified";
            world
                .on_host
                .refuse_creation(name, StatusCode::CONFLICT, message);
            world
                .on_host
                .refuse_change(name, StatusCode::CONFLICT, message);
            world
                .on_virtual
                .refuse_change(name, StatusCode::CONFLICT, message);
        }
    };
    for name in ["web", "db"] {
        conflict(name);
    }
    conflict("colors");
    world.on_virtual.put(&config_map("colors", "red"));
    for name in ["web", "db"] {
        world.on_virtual.put(&using_pod(name));
        world.run_pod(name).await;
    }
    world.on_virtual.put(&config_map("colors", "blue"));
    let is_blue = |map: &ConfigMap| map.data.as_ref().unwrap()["color"] == "blue";
    world
        .on_host
        .wait_for_object::<ConfigMap>(HOST, &host_name("colors"), is_blue)
        .await;
    world.settle().await;
    assert_eq!(world.on_host.list::<Pod>().len(), 2);
}
