//! What the host does not take: the tenant is told why in its own names, it is tried again ever less
//! often, and nothing else waits for it.

use std::{collections::BTreeSet, time::Duration};

use http::StatusCode;
use k8s_openapi::api::{
    core::v1::{PersistentVolumeClaim, Pod, Service},
    events::v1::Event,
};
use rstest::rstest;
use tokio::time::sleep;

use super::world::{HOST, TEAM, World, config_map, host_name, meta, pod};

/// The notes of all warnings about the object.
fn notes(world: &World, kind: &str, name: &str) -> Vec<String> {
    let events = world.on_virtual.list::<Event>().into_iter();
    events
        .filter(|event| event.type_.as_deref() == Some("Warning"))
        .filter(|event| {
            let regarding = event.regarding.as_ref();
            regarding.is_some_and(|it| {
                it.kind.as_deref() == Some(kind)
                    && it.name.as_deref() == Some(name)
                    && it.namespace.as_deref() == TEAM
            })
        })
        .filter_map(|event| event.note)
        .collect()
}

#[rstest]
#[case::it_is_invalid_there(
    StatusCode::UNPROCESSABLE_ENTITY,
    "Pod \"web-x-team-x-test\" is invalid: spec.containers[0].image: Required value",
    "Pod \"web\" is invalid: spec.containers[0].image: Required value"
)]
#[case::there_is_a_quota(
    StatusCode::FORBIDDEN,
    "pods \"web-x-team-x-test\" is forbidden: exceeded quota: small, requested: pods=1, used: pods=5, limited: pods=5",
    "pods \"web\" is forbidden: exceeded quota: small, requested: pods=1, used: pods=5, limited: pods=5"
)]
#[case::a_webhook_denies_it(
    StatusCode::BAD_REQUEST,
    "admission webhook \"policy.example.com\" denied the request: web-x-team-x-test in vcluster-test has no owner",
    "admission webhook \"policy.example.com\" denied the request: web in team has no owner"
)]
#[case::its_priority_class_is_missing(
    StatusCode::FORBIDDEN,
    "pods \"web-x-team-x-test\" is forbidden: no PriorityClass with name high was found",
    "pods \"web\" is forbidden: no PriorityClass with name high was found"
)]
#[case::its_runtime_class_is_missing(
    StatusCode::FORBIDDEN,
    "pods \"web-x-team-x-test\" is forbidden: pod rejected: RuntimeClass \"sandbox\" not found",
    "pods \"web\" is forbidden: pod rejected: RuntimeClass \"sandbox\" not found"
)]
#[case::its_namespace_is_missing(
    StatusCode::NOT_FOUND,
    "namespaces \"vcluster-test\" not found",
    "namespaces \"team\" not found"
)]
#[tokio::test(start_paused = true)]
async fn a_pod_is_refused_since(
    #[case] code: StatusCode,
    #[case] message: &str,
    #[case] told: &str,
) {
    let world = World::awake().await;
    world.on_host.refuse_for_good("web", code, message);
    world.on_virtual.put(&pod("web"));
    world.on_virtual.put(&pod("other"));
    world.run_pod("other").await;
    sleep(Duration::from_mins(10)).await;
    assert_eq!(notes(&world, "Pod", "web"), [told]);
    let asked = world.on_host.made("api/v1/pods", &host_name("web"));
    // After 1, 2, 4, 8, 16 and 32 seconds, and then once a minute.
    assert!((8..=18).contains(&asked), "asked {asked} times");

    world.on_host.relent();
    sleep(Duration::from_mins(1)).await;
    world.run_pod("web").await;
}

/// It does not run without what it asks for to be kept apart by.
#[tokio::test(start_paused = true)]
async fn a_pod_of_a_class_that_the_tenant_does_not_see_stays_and_blocks_nothing() {
    let world = World::awake().await;
    let mut sandboxed = pod("web");
    sandboxed.spec.as_mut().unwrap().runtime_class_name = Some("sandbox".to_owned());
    world.on_virtual.put(&sandboxed);
    world.on_virtual.put(&pod("other"));
    world.run_pod("other").await;
    let notes = notes(&world, "Pod", "web");
    assert_eq!(notes.len(), 1);
    assert!(notes[0].contains("fromHost.runtimeClasses"), "{notes:?}");
    assert_eq!(world.on_host.list::<Pod>().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn whatever_its_kind_the_tenant_is_told() {
    let world = World::awake_with(|sync| sync.to_host.config_maps.all = true).await;
    let denied = "exceeded quota: small";
    world
        .on_host
        .refuse_for_good("web", StatusCode::FORBIDDEN, denied);
    world.on_virtual.put(&pod("web"));
    world.on_virtual.put(&config_map("web", "red"));
    world.on_virtual.put(&Service {
        metadata: meta("web"),
        ..Service::default()
    });
    world.on_virtual.put(&PersistentVolumeClaim {
        metadata: meta("web"),
        ..PersistentVolumeClaim::default()
    });
    let kinds = ["Pod", "ConfigMap", "Service", "PersistentVolumeClaim"];
    world
        .on_virtual
        .wait_for("a warning on each", |_| {
            let told = |kind: &&&str| notes(&world, kind, "web") == [denied];
            let silent: BTreeSet<_> = kinds.iter().filter(|kind| !told(kind)).collect();
            silent.is_empty().then_some(()).ok_or(format!("{silent:?}"))
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_pod_whose_name_is_taken_waits_until_it_is_free() {
    let world = World::awake().await;
    let mut foreign = pod(&host_name("web"));
    foreign.metadata.namespace = HOST.map(str::to_owned);
    world.on_host.put(&foreign);
    world.on_virtual.put(&pod("web"));
    world.on_virtual.put(&pod("other"));
    world.run_pod("other").await;
    sleep(Duration::from_mins(10)).await;
    let told = "an object of that name is on the host already and belongs to somebody else";
    assert_eq!(notes(&world, "Pod", "web"), [told]);
    let asked = world.on_host.made("api/v1/pods", &host_name("web"));
    assert!((8..=18).contains(&asked), "asked {asked} times");
    world.on_host.remove::<Pod>(HOST, &host_name("web"));
    sleep(Duration::from_mins(1)).await;
    world.run_pod("web").await;
}
