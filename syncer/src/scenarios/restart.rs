//! A syncer that is killed at any moment leaves nothing that its successor does not put right.

use std::time::Duration;

use k8s_openapi::api::core::v1::{ConfigMap, Pod, Secret};
use kube::ResourceExt;
use serde_json::json;

use super::{
    trouble::proceed,
    world::{HOST, TEAM, World, config_map, host_name, names, pod},
};

/// Enough for all that the story below makes a syncer do; the rest of the moments are quiet ones.
const MOMENTS: usize = 250;

/// A pod that uses a config map and a token.
fn using_pod() -> Pod {
    let mut pod = pod("web");
    let volumes = json!([
        {"name": "map", "configMap": {"name": "colors"}},
        {"name": "token", "projected": {"sources": [{"serviceAccountToken": {"path": "token"}}]}},
    ]);
    pod.spec.as_mut().unwrap().volumes = serde_json::from_value(volumes).unwrap();
    pod
}

/// The uids of the pods on the host.
fn uids(world: &World) -> Vec<Option<String>> {
    let pods = world.on_host.list::<Pod>();
    pods.iter().map(ResourceExt::uid).collect()
}

#[tokio::test(start_paused = true)]
async fn a_pod_is_made_once_whenever_the_syncer_is_killed() {
    for moment in (0..MOMENTS).step_by(5) {
        let mut world = World::awake().await;
        world.on_virtual.put(&config_map("colors", "red"));
        world.on_virtual.put(&using_pod());
        proceed(moment).await;
        world.crash();
        let before = uids(&world);
        world.wake().await;
        world.run_pod("web").await;
        world.settle().await;
        let after = uids(&world);
        assert_eq!(after.len(), 1, "killed at {moment}");
        assert!(before.is_empty() || before == after, "killed at {moment}");
        assert_eq!(
            world.on_host.list::<Secret>().len(),
            1,
            "killed at {moment}"
        );
        let maps = names(&world.on_host.list::<ConfigMap>());
        assert_eq!(maps, host_name("colors"), "killed at {moment}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_pod_goes_for_good_whenever_the_syncer_is_killed() {
    for moment in (0..MOMENTS).step_by(12) {
        let mut world = World::awake().await;
        world.on_virtual.put(&config_map("colors", "red"));
        world.on_virtual.put(&using_pod());
        world.run_pod("web").await;
        world.on_virtual.delete::<Pod>(TEAM, "web", 1);
        proceed(moment).await;
        world.crash();
        tokio::time::sleep(Duration::from_secs(1)).await;
        world.wake().await;
        let is_going = |pod: &Pod| pod.metadata.deletion_timestamp.is_some();
        world
            .on_host
            .wait_for_object::<Pod>(HOST, &host_name("web"), is_going)
            .await;
        // As the kubelet does when the containers have ended.
        world.on_host.remove::<Pod>(HOST, &host_name("web"));
        world.on_virtual.wait_until_gone::<Pod>(TEAM, "web").await;
        world.settle().await;
        assert_eq!(uids(&world), [], "killed at {moment}");
        assert_eq!(
            world.on_host.list::<Secret>().len(),
            0,
            "killed at {moment}"
        );
        assert_eq!(
            world.on_host.list::<ConfigMap>().len(),
            0,
            "killed at {moment}"
        );
    }
}
