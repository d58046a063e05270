//! Restarts, broken watches, hostile edits and objects of others.

use http::StatusCode;
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Service};
use kube::ResourceExt;

use super::world::{HOST, TEAM, World, config_map, host_name, meta, names, pod};
use crate::labels;

/// A config map that is synced for its own sake.
fn forced(name: &str, color: &str) -> ConfigMap {
    let mut map = config_map(name, color);
    map.annotations_mut()
        .insert(labels::FORCE_SYNC.to_owned(), "true".to_owned());
    map
}

async fn wait_for_color(world: &World, expected: &str) {
    world
        .on_host
        .wait_for("the colour on the host", |cluster| {
            let map = cluster
                .get::<ConfigMap>(HOST, &host_name("colors"))
                .ok_or("no map")?;
            let found = map.data.unwrap_or_default().get("color").cloned();
            let is_marked = map
                .metadata
                .labels
                .unwrap_or_default()
                .contains_key(labels::MANAGED_BY);
            (found.as_deref() == Some(expected) && is_marked)
                .then_some(())
                .ok_or_else(|| format!("{found:?}, marked: {is_marked}"))
        })
        .await;
}

#[tokio::test]
async fn what_happened_while_the_syncer_was_away_is_made_up_for() {
    let mut world = World::awake().await;
    world.on_virtual.put(&forced("colors", "red"));
    world.on_virtual.put(&forced("old", "grey"));
    wait_for_color(&world, "red").await;
    world.settle().await;
    world.sleep().await;

    world.on_virtual.remove::<ConfigMap>(TEAM, "old");
    world
        .on_virtual
        .edit::<ConfigMap>(TEAM, "colors", |map| *map = forced("colors", "blue"));
    world.on_virtual.put(&forced("new", "green"));
    world.wake().await;
    wait_for_color(&world, "blue").await;
    world.settle().await;
    assert_eq!(
        names(&world.on_host.list::<ConfigMap>()),
        format!("{}, {}", host_name("colors"), host_name("new")),
    );
}

#[tokio::test]
async fn a_broken_watch_loses_nothing() {
    let world = World::awake().await;
    world.on_virtual.put(&forced("old", "grey"));
    world.on_virtual.put(&forced("colors", "red"));
    wait_for_color(&world, "red").await;
    world.on_virtual.break_watches();
    world.on_host.break_watches();
    world.on_virtual.remove::<ConfigMap>(TEAM, "old");
    world
        .on_virtual
        .edit::<ConfigMap>(TEAM, "colors", |map| *map = forced("colors", "blue"));
    wait_for_color(&world, "blue").await;
    world
        .on_host
        .wait_for("the other one to go", |cluster| {
            let left = names(&cluster.list::<ConfigMap>());
            (left == host_name("colors")).then_some(()).ok_or(left)
        })
        .await;
}

#[tokio::test]
async fn edits_on_the_host_are_repaired() {
    let world = World::awake().await;
    world.on_virtual.put(&forced("colors", "red"));
    wait_for_color(&world, "red").await;
    world
        .on_host
        .edit::<ConfigMap>(HOST, &host_name("colors"), |map| {
            map.data = Some([("color".to_owned(), "black".to_owned())].into());
        });
    wait_for_color(&world, "red").await;
    world
        .on_host
        .edit::<ConfigMap>(HOST, &host_name("colors"), |map| {
            map.labels_mut().remove(labels::MANAGED_BY);
        });
    wait_for_color(&world, "red").await;
    world
        .on_host
        .remove::<ConfigMap>(HOST, &host_name("colors"));
    wait_for_color(&world, "red").await;
}

#[tokio::test]
async fn an_object_of_somebody_else_is_never_touched_and_the_tenant_is_told() {
    let world = World::awake().await;
    let mut foreign = config_map(&host_name("colors"), "theirs");
    foreign.metadata.namespace = HOST.map(str::to_owned);
    let foreign = world.on_host.put(&foreign);
    world.on_virtual.put(&forced("colors", "red"));
    let event = world.warning().await;
    assert_eq!(event.type_.as_deref(), Some("Warning"));
    assert_eq!(event.regarding.unwrap().name.as_deref(), Some("colors"));
    assert_eq!(event.reason.as_deref(), Some("SyncError"));
    world.on_virtual.remove::<ConfigMap>(TEAM, "colors");
    world.settle().await;
    assert_eq!(
        world.on_host.get::<ConfigMap>(HOST, &host_name("colors")),
        Some(foreign)
    );
}

#[tokio::test]
async fn a_refusal_is_told_in_the_tenants_names_and_holds_up_nobody() {
    let world = World::awake().await;
    world.on_host.refuse_creation(
        "web",
        StatusCode::FORBIDDEN,
        "pods \"web-x-team-x-test\" is forbidden: exceeded quota: in namespace vcluster-test",
    );
    world.on_virtual.put(&pod("web"));
    world.on_virtual.put(&pod("other"));
    world.run_pod("other").await;
    let event = world.warning().await;
    let expected = "pods \"web\" is forbidden: exceeded quota: in namespace team";
    assert_eq!(event.note.as_deref(), Some(expected));
    // And it is tried again.
    world
        .on_host
        .wait_for("the pod after all", |cluster| {
            cluster
                .get::<Pod>(HOST, &host_name("web"))
                .map(|_| ())
                .ok_or_else(String::new)
        })
        .await;
}

#[tokio::test]
async fn a_change_by_the_hosts_admission_is_not_fought_over() {
    let world = World::awake().await;
    world.on_virtual.put(&Service {
        metadata: meta("web"),
        spec: None,
        status: None,
    });
    world.settle().await;
    let writes = world.on_host.writes();
    // An admission that puts its own value back after each write of ours.
    for round in 0..3 {
        world
            .on_host
            .edit::<Service>(HOST, &host_name("web"), |service| {
                service
                    .annotations_mut()
                    .insert("mesh".to_owned(), format!("{round}"));
            });
        world.settle().await;
    }
    assert_eq!(world.on_host.writes(), writes);
}
