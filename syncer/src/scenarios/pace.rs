//! How many pods a syncer keeps up with. The API servers' own time does not count, and a slow answer
//! for one pod holds up no other.

use std::{collections::HashMap, time::Duration};

use k8s_openapi::api::core::v1::Pod;
use serde_json::json;
use tokio::time::{Instant, interval};

use super::world::{World, host_name, pod};

/// A pod as most are: with a token.
fn usual_pod(name: &str) -> Pod {
    let mut pod = pod(name);
    let volumes = json!([{"name": "token", "projected": {"sources": [
        {"serviceAccountToken": {"path": "token"}}]}}]);
    pod.spec.as_mut().unwrap().volumes = serde_json::from_value(volumes).unwrap();
    pod
}

/// How long after each of `count` pods came, at a hundred a second, the host was asked for its twin:
/// from the shortest to the longest time.
async fn paces(count: usize, host_takes: Duration) -> Vec<Duration> {
    let world = World::awake().await;
    world.on_host.line().slow_down(host_takes);
    let mut came = HashMap::new();
    let mut ticks = interval(Duration::from_millis(10));
    for number in 0..count {
        ticks.tick().await;
        let name = format!("pod-{number}");
        world.on_virtual.put(&usual_pod(&name));
        came.insert(host_name(&name), Instant::now());
    }
    world
        .on_host
        .wait_for("all pods", |host| {
            let there = host.count::<Pod>();
            (there == count).then_some(()).ok_or(format!("{there}"))
        })
        .await;
    let asked: HashMap<_, _> = world
        .on_host
        .written()
        .into_iter()
        .filter_map(|written| Some((written.made_in("api/v1/pods")?, written.at)))
        .collect();
    let mut paces: Vec<_> = came
        .into_iter()
        .map(|(name, came)| asked[&name] - came)
        .collect();
    paces.sort();
    paces
}

fn at(paces: &[Duration], percent: usize) -> Duration {
    paces[(paces.len() - 1) * percent / 100]
}

#[tokio::test(start_paused = true)]
async fn a_hundred_pods_a_second_wait_for_no_turn_when_the_host_takes_half_a_second() {
    let paces = paces(300, Duration::from_millis(500)).await;
    assert!(at(&paces, 99) <= Duration::from_millis(1), "{paces:?}");
}

/// `cargo test --release -p vcluster-syncer --lib pace -- --ignored --nocapture`
#[test]
#[ignore = "a measurement, which takes ten seconds and means something only on a quiet machine"]
fn own_time_for_a_thousand_pods() {
    // As the program has them.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let paces = runtime.block_on(paces(1000, Duration::from_millis(100)));
    let [half, most, longest] = [50, 99, 100].map(|percent| at(&paces, percent));
    println!("pods=1000 rate=100/s p50={half:.1?} p99={most:.1?} max={longest:.1?}");
    assert!(half <= Duration::from_millis(10) && most <= Duration::from_millis(50));
}
