//! A model: random changes on both sides, crashes and restarts; at rest both sides agree.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ConfigMap;
use kube::ResourceExt;
use proptest::{prelude::*, test_runner::Config};

use super::{
    trouble::{Trouble, trouble},
    world::{HOST, TEAM, World, config_map, host_name},
};
use crate::labels;

/// One thing that happens.
#[derive(Debug, Clone)]
enum Act {
    /// A tenant makes or changes an object; it may ask for it to be synced.
    Put {
        name: u8,
        color: u8,
        is_forced: bool,
    },
    /// A tenant deletes an object.
    Delete { name: u8 },
    /// Somebody changes a twin.
    Spoil { name: u8, color: u8 },
    /// Somebody deletes a twin.
    Lose { name: u8 },
    /// Nobody asked for it.
    Suffer(Trouble),
}

fn act() -> impl Strategy<Value = Act> {
    let name = 0..3u8;
    prop_oneof![
        4 => (name.clone(), 0..3u8, any::<bool>())
            .prop_map(|(name, color, is_forced)| Act::Put { name, color, is_forced }),
        2 => name.clone().prop_map(|name| Act::Delete { name }),
        1 => (name.clone(), 0..3u8).prop_map(|(name, color)| Act::Spoil { name, color }),
        1 => name.prop_map(|name| Act::Lose { name }),
        4 => trouble().prop_map(Act::Suffer),
    ]
}

async fn perform(world: &mut World, act: &Act) {
    match act {
        Act::Put {
            name,
            color,
            is_forced,
        } => {
            let mut map = config_map(&format!("map-{name}"), &format!("color-{color}"));
            let annotations = map.annotations_mut();
            annotations.insert(labels::FORCE_SYNC.to_owned(), is_forced.to_string());
            world.on_virtual.put(&map);
        }
        Act::Delete { name } => world
            .on_virtual
            .remove::<ConfigMap>(TEAM, &format!("map-{name}")),
        Act::Spoil { name, color } => {
            let host = host_name(&format!("map-{name}"));
            if world.on_host.get::<ConfigMap>(HOST, &host).is_some() {
                world.on_host.edit::<ConfigMap>(HOST, &host, |map| {
                    map.data = Some([("color".to_owned(), format!("spoilt-{color}"))].into());
                });
            }
        }
        Act::Lose { name } => world
            .on_host
            .remove::<ConfigMap>(HOST, &host_name(&format!("map-{name}"))),
        Act::Suffer(trouble) => world.suffer(*trouble).await,
    }
}

/// What should be on the host.
fn wanted(world: &World) -> BTreeMap<String, String> {
    let maps = world.on_virtual.list::<ConfigMap>();
    let forced = maps.into_iter().filter(labels::is_forced);
    forced
        .map(|map| (host_name(&map.name_any()), color(&map)))
        .collect()
}

fn found(world: &World) -> BTreeMap<String, String> {
    let maps = world.on_host.list::<ConfigMap>();
    maps.iter()
        .map(|map| (map.name_any(), color(map)))
        .collect()
}

fn color(map: &ConfigMap) -> String {
    map.data
        .clone()
        .unwrap_or_default()
        .remove("color")
        .unwrap_or_default()
}

async fn tell(acts: &[Act]) {
    let mut world = World::awake().await;
    for act in acts {
        perform(&mut world, act).await;
    }
    world.rouse().await;
    let wanted = wanted(&world);
    world
        .on_host
        .wait_for("both sides to agree", |_| {
            let found = found(&world);
            (found == wanted)
                .then_some(())
                .ok_or_else(|| format!("{found:?} instead of {wanted:?}"))
        })
        .await;
    world.settle().await;
    assert_eq!(found(&world), wanted, "and they stay so");
}

proptest! {
    #![proptest_config(Config { cases: 24, ..Config::default() })]

    #[test]
    fn at_rest_both_sides_agree(acts in proptest::collection::vec(act(), 1..30)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        runtime.block_on(tell(&acts));
    }
}
