//! A model of pods and what they use: tenants, a host that schedules, runs and loses them, crashes and
//! broken watches. At rest every pod has its twin, no twin is an orphan, and what is in use is on the
//! host.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{ConfigMap, Pod, Secret};
use kube::ResourceExt;
use proptest::{prelude::*, test_runner::Config};
use serde_json::json;

use super::{
    trouble::{Trouble, trouble},
    world::{HOST, TEAM, World, config_map, host_name, pod, running},
};
use crate::labels;

/// One thing that happens.
#[derive(Debug, Clone)]
enum Act {
    /// A tenant makes a pod that uses a config map and a token, or replaces one at once.
    Make { name: u8, map: u8 },
    /// A tenant deletes a pod with grace.
    Delete { name: u8, grace: u8 },
    /// A tenant deletes a pod without waiting for the host.
    Force { name: u8 },
    /// A tenant writes a config map.
    Write { map: u8, color: u8 },
    /// The host's scheduler and kubelet start a pod.
    Run { name: u8 },
    /// The host's kubelet is done with a pod that is going.
    Finish { name: u8 },
    /// The host loses a pod.
    Lose { name: u8 },
    /// Nobody asked for it.
    Suffer(Trouble),
}

fn act() -> impl Strategy<Value = Act> {
    let name = 0..3u8;
    let map = 0..2u8;
    prop_oneof![
        4 => (name.clone(), map.clone()).prop_map(|(name, map)| Act::Make { name, map }),
        2 => (name.clone(), 0..2u8).prop_map(|(name, grace)| Act::Delete { name, grace }),
        1 => name.clone().prop_map(|name| Act::Force { name }),
        2 => (map, 0..3u8).prop_map(|(map, color)| Act::Write { map, color }),
        3 => name.clone().prop_map(|name| Act::Run { name }),
        2 => name.clone().prop_map(|name| Act::Finish { name }),
        1 => name.prop_map(|name| Act::Lose { name }),
        4 => trouble().prop_map(Act::Suffer),
    ]
}

fn pod_name(name: u8) -> String {
    format!("pod-{name}")
}

fn map_name(map: u8) -> String {
    format!("map-{map}")
}

fn pod_with(name: u8, map: u8) -> Pod {
    let mut pod = pod(&pod_name(name));
    let volumes = json!([
        {"name": "map", "configMap": {"name": map_name(map)}},
        {"name": "token", "projected": {"sources": [{"serviceAccountToken": {"path": "token"}}]}},
    ]);
    pod.spec.as_mut().unwrap().volumes = serde_json::from_value(volumes).unwrap();
    pod
}

async fn perform(world: &mut World, act: &Act) {
    match act {
        Act::Make { name, map } => {
            // Nothing but its deletion ends a pod, so one that is there is replaced, not changed.
            world.on_virtual.remove::<Pod>(TEAM, &pod_name(*name));
            world.on_virtual.put(&pod_with(*name, *map));
        }
        Act::Delete { name, grace } => {
            let name = pod_name(*name);
            if world.on_virtual.get::<Pod>(TEAM, &name).is_some() {
                world
                    .on_virtual
                    .delete::<Pod>(TEAM, &name, i64::from(*grace));
            }
        }
        Act::Force { name } => world.on_virtual.remove::<Pod>(TEAM, &pod_name(*name)),
        Act::Write { map, color } => {
            let map = config_map(&map_name(*map), &format!("color-{color}"));
            world.on_virtual.put(&map);
        }
        Act::Run { name } => {
            let host = host_name(&pod_name(*name));
            if world.on_host.get::<Pod>(HOST, &host).is_some() {
                world.on_host.edit::<Pod>(HOST, &host, |pod| {
                    pod.spec.as_mut().unwrap().node_name = Some("worker".to_owned());
                    pod.status = Some(running());
                });
            }
        }
        Act::Finish { name } => finish(world, &host_name(&pod_name(*name))),
        Act::Lose { name } => world
            .on_host
            .remove::<Pod>(HOST, &host_name(&pod_name(*name))),
        Act::Suffer(trouble) => world.suffer(*trouble).await,
    }
}

/// A kubelet removes a pod when its containers have ended.
fn finish(world: &World, host: &str) {
    let is_going = |pod: Pod| pod.metadata.deletion_timestamp.is_some();
    if world.on_host.get::<Pod>(HOST, host).is_some_and(is_going) {
        world.on_host.remove::<Pod>(HOST, host);
    }
}

/// What is wrong, if anything is.
fn complaint(world: &World) -> Option<String> {
    // The kubelet has all the time it needs.
    for name in 0..3 {
        finish(world, &host_name(&pod_name(name)));
    }
    let pods = world.on_virtual.list::<Pod>();
    let uids = |pods: &[Pod], uid: fn(&Pod) -> Option<String>| -> BTreeSet<_> {
        pods.iter()
            .map(|pod| (pod.name_any(), uid(pod).unwrap_or_default()))
            .collect()
    };
    let wanted: BTreeSet<_> = uids(&pods, ResourceExt::uid)
        .into_iter()
        .map(|(name, uid)| (host_name(&name), uid))
        .collect();
    let of_twin = |pod: &Pod| pod.annotations().get(labels::OBJECT_UID).cloned();
    let found = uids(&world.on_host.list::<Pod>(), of_twin);
    if found != wanted {
        return Some(format!("host pods {found:?} instead of {wanted:?}"));
    }
    let used: BTreeSet<_> = (0..2)
        .filter(|map| {
            let volume = format!("\"name\":\"{}\"", map_name(*map));
            let is_used = pods
                .iter()
                .any(|pod| serde_json::to_string(&pod.spec).unwrap().contains(&volume));
            let map = world.on_virtual.get::<ConfigMap>(TEAM, &map_name(*map));
            is_used && map.is_some()
        })
        .map(|map| host_name(&map_name(map)))
        .collect();
    let maps = world.on_host.list::<ConfigMap>();
    let maps: BTreeSet<_> = maps.iter().map(ResourceExt::name_any).collect();
    if maps != used {
        return Some(format!("host config maps {maps:?} instead of {used:?}"));
    }
    let tokens = world.on_host.list::<Secret>();
    let tokens: BTreeSet<_> = tokens
        .iter()
        .filter_map(|secret| secret.annotations().get(labels::POD_UID).cloned())
        .collect();
    let holders: BTreeSet<_> = pods.iter().filter_map(ResourceExt::uid).collect();
    (tokens != holders).then(|| format!("tokens of {tokens:?} instead of {holders:?}"))
}

async fn tell(acts: &[Act]) {
    let mut world = World::awake().await;
    for act in acts {
        perform(&mut world, act).await;
    }
    world.rouse().await;
    world
        .on_host
        .wait_for("both sides to agree", |_| {
            complaint(&world).map_or(Ok(()), Err)
        })
        .await;
    world.settle().await;
    assert_eq!(complaint(&world), None, "and they stay so");
}

proptest! {
    #![proptest_config(Config { cases: 24, ..Config::default() })]

    #[test]
    fn at_rest_every_pod_has_its_twin_and_no_twin_is_an_orphan(
        acts in proptest::collection::vec(act(), 1..30),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        runtime.block_on(tell(&acts));
    }
}
