//! Claims and their volumes.

use http::StatusCode;
use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim, Pod};
use kube::ResourceExt;
use serde_json::json;

use super::world::{HOST, TEAM, World, host_name, meta, pod};
use crate::metadata::is_mirrored;

fn claim(name: &str) -> PersistentVolumeClaim {
    PersistentVolumeClaim {
        metadata: meta(name),
        spec: serde_json::from_value(json!({
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "1Gi"}},
        }))
        .unwrap(),
        status: serde_json::from_value(json!({"phase": "Pending"})).unwrap(),
    }
}

fn pod_with(name: &str) -> Pod {
    let mut pod = pod("web");
    let volumes = json!([{"name": "data", "persistentVolumeClaim": {"claimName": name}}]);
    pod.spec.as_mut().unwrap().volumes = serde_json::from_value(volumes).unwrap();
    pod
}

/// What the host's binder does.
async fn bind(world: &World, name: &str) {
    let host = host_name(name);
    world
        .on_host
        .wait_for_object::<PersistentVolumeClaim>(HOST, &host, |_| true)
        .await;
    world
        .on_host
        .edit::<PersistentVolumeClaim>(HOST, &host, |claim| {
            let annotations = claim.annotations_mut();
            annotations.insert(
                "pv.kubernetes.io/bind-completed".to_owned(),
                "yes".to_owned(),
            );
            let spec = claim.spec.as_mut().unwrap();
            spec.volume_name = Some("pvc-1".to_owned());
            spec.storage_class_name = Some("standard".to_owned());
            let status = json!({"phase": "Bound", "capacity": {"storage": "1Gi"}});
            claim.status = serde_json::from_value(status).unwrap();
        });
}

async fn bound_claim(world: &World) -> PersistentVolume {
    world.on_virtual.put(&claim("data"));
    bind(world, "data").await;
    let is_bound = |volume: &PersistentVolume| {
        let status = volume.status.as_ref();
        status.and_then(|status| status.phase.as_deref()) == Some("Bound")
    };
    world
        .on_virtual
        .wait_for_object(None, "pvc-1", is_bound)
        .await
}

#[tokio::test]
async fn the_host_binds_a_claim_and_the_tenant_sees_claim_and_volume() {
    let world = World::awake().await;
    let volume = bound_claim(&world).await;
    let claim = world
        .on_virtual
        .get::<PersistentVolumeClaim>(TEAM, "data")
        .unwrap();
    assert_eq!(claim.status.unwrap().phase.as_deref(), Some("Bound"));
    assert_eq!(
        claim.spec.unwrap().storage_class_name.as_deref(),
        Some("standard")
    );
    let reference = volume.spec.unwrap().claim_ref.unwrap();
    assert_eq!(reference.uid, claim.metadata.uid);
    assert_eq!(reference.namespace.as_deref(), TEAM);
    world.settle().await;
    assert!(world.on_host.list::<PersistentVolume>().is_empty());
}

#[tokio::test]
async fn a_deleted_claim_is_gone_on_both_sides_and_so_is_its_volume() {
    let world = World::awake().await;
    bound_claim(&world).await;
    world.settle().await;
    // The virtual cluster protects what is bound.
    world
        .on_virtual
        .edit::<PersistentVolume>(None, "pvc-1", |volume| {
            volume.metadata.finalizers = Some(vec!["kubernetes.io/pv-protection".to_owned()]);
        });
    world
        .on_virtual
        .delete::<PersistentVolumeClaim>(TEAM, "data", 0);
    world
        .on_host
        .wait_until_gone::<PersistentVolumeClaim>(HOST, &host_name("data"))
        .await;
    world
        .on_virtual
        .wait_until_gone::<PersistentVolume>(None, "pvc-1")
        .await;
}

#[tokio::test]
async fn a_claim_that_the_host_lost_is_not_made_anew() {
    let world = World::awake().await;
    bound_claim(&world).await;
    world
        .on_host
        .remove::<PersistentVolumeClaim>(HOST, &host_name("data"));
    world
        .on_virtual
        .wait_until_gone::<PersistentVolumeClaim>(TEAM, "data")
        .await;
    world.settle().await;
    assert!(world.on_host.list::<PersistentVolumeClaim>().is_empty());
}

#[tokio::test]
async fn a_claim_in_use_keeps_its_twin_until_the_last_pod_is_gone() {
    let world = World::awake().await;
    bound_claim(&world).await;
    world.settle().await;
    world
        .on_virtual
        .edit::<PersistentVolumeClaim>(TEAM, "data", |claim| {
            claim.metadata.finalizers = Some(vec!["kubernetes.io/pvc-protection".to_owned()]);
        });
    world
        .on_virtual
        .delete::<PersistentVolumeClaim>(TEAM, "data", 0);
    world.settle().await;
    let host = host_name("data");
    let twin = world.on_host.get::<PersistentVolumeClaim>(HOST, &host);
    assert!(twin.is_some_and(|twin| twin.metadata.deletion_timestamp.is_none()));
    world
        .on_virtual
        .remove::<PersistentVolumeClaim>(TEAM, "data");
    world
        .on_host
        .wait_until_gone::<PersistentVolumeClaim>(HOST, &host)
        .await;
}

#[tokio::test]
async fn a_pod_comes_after_its_claim() {
    let world = World::awake().await;
    world
        .on_host
        .refuse_creation("data", StatusCode::SERVICE_UNAVAILABLE, "not now");
    world.on_virtual.put(&claim("data"));
    world.on_virtual.put(&pod_with("data"));
    let host = host_name("web");
    world
        .on_host
        .wait_for("the pod", |cluster| {
            let pod = cluster.get::<Pod>(HOST, &host);
            let claim = cluster.get::<PersistentVolumeClaim>(HOST, &host_name("data"));
            assert!(pod.is_none() || claim.is_some(), "the pod came first");
            pod.ok_or_else(String::new)
        })
        .await;
}

#[tokio::test]
async fn a_tenant_that_reaches_for_a_volume_of_the_host_is_told() {
    let world = World::awake().await;
    let mut claim = claim("data");
    claim.spec.as_mut().unwrap().volume_name = Some("of-the-host".to_owned());
    world.on_virtual.put(&claim);
    let event = world.warning().await;
    let note = event.note.unwrap();
    assert!(note.contains("spec.volumeName"), "{note}");
    world.settle().await;
    let shown = world.on_virtual.list::<PersistentVolume>();
    assert!(shown.is_empty(), "a volume that nobody has is shown");
    assert!(world.on_host.list::<PersistentVolumeClaim>().is_empty());
}

#[tokio::test]
async fn a_volume_that_the_tenant_wrote_is_left_alone() {
    let world = World::awake().await;
    let own: PersistentVolume =
        serde_json::from_value(json!({"metadata": {"name": "pvc-1"}, "spec": {}})).unwrap();
    let own = world.on_virtual.put(&own);
    world.on_virtual.put(&claim("data"));
    bind(&world, "data").await;
    world.settle().await;
    let found = world.on_virtual.get::<PersistentVolume>(None, "pvc-1");
    assert_eq!(found.as_ref(), Some(&own));
    assert!(!is_mirrored(&own));
}

#[tokio::test]
async fn a_claim_finds_the_volume_that_the_tenant_wrote() {
    let world = World::awake_with(|sync| sync.to_host.persistent_volumes.enabled = true).await;
    // The claim is first, as in many manifests, and its twin is of no class of the tenant's yet.
    let mut claim = claim("data");
    claim.spec.as_mut().unwrap().storage_class_name = Some("manual".to_owned());
    world.on_virtual.put(&claim);
    world.settle().await;
    let disk = json!({"metadata": {"name": "disk"}, "spec": {"storageClassName": "manual"}});
    let disk: PersistentVolume = serde_json::from_value(disk).unwrap();
    world.on_virtual.put(&disk);
    let class = "vcluster-manual-x-vcluster-test-x-test";
    let host_disk = "vcluster-disk-x-vcluster-test-x-test";
    let is_of_class = |claim: &PersistentVolumeClaim| {
        let spec = claim.spec.as_ref().unwrap();
        spec.storage_class_name.as_deref() == Some(class)
    };
    let host_claim = world
        .on_host
        .wait_for_object(HOST, &host_name("data"), is_of_class)
        .await;
    world
        .on_host
        .wait_for_object::<PersistentVolume>(None, host_disk, |_| true)
        .await;
    // What the host's binder does.
    let reference = json!({"kind": "PersistentVolumeClaim", "namespace": "vcluster-test",
        "name": host_claim.name_any(), "uid": host_claim.uid()});
    world
        .on_host
        .edit::<PersistentVolume>(None, host_disk, |disk| {
            disk.spec.as_mut().unwrap().claim_ref = serde_json::from_value(reference).unwrap();
            disk.status = serde_json::from_value(json!({"phase": "Bound"})).unwrap();
        });
    world
        .on_host
        .edit::<PersistentVolumeClaim>(HOST, &host_name("data"), |claim| {
            let annotations = claim.annotations_mut();
            annotations.insert(
                "pv.kubernetes.io/bind-completed".to_owned(),
                "yes".to_owned(),
            );
            claim.spec.as_mut().unwrap().volume_name = Some(host_disk.to_owned());
            claim.status = serde_json::from_value(json!({"phase": "Bound"})).unwrap();
        });
    let names_it = |claim: &PersistentVolumeClaim| {
        claim.spec.as_ref().unwrap().volume_name.as_deref() == Some("disk")
    };
    let shown: PersistentVolumeClaim = world
        .on_virtual
        .wait_for_object(TEAM, "data", names_it)
        .await;
    assert_eq!(
        shown.spec.unwrap().storage_class_name.as_deref(),
        Some("manual")
    );
    let is_bound = |disk: &PersistentVolume| {
        let spec = disk.spec.as_ref().unwrap();
        spec.claim_ref.as_ref().and_then(|claim| claim.uid.clone()) == shown.metadata.uid
    };
    world
        .on_virtual
        .wait_for_object(None, "disk", is_bound)
        .await;
    world.settle().await;
    assert_eq!(world.on_virtual.list::<PersistentVolume>().len(), 1);
    // The data is the tenant's, so the volume stays when the claim goes.
    world
        .on_virtual
        .remove::<PersistentVolumeClaim>(TEAM, "data");
    world
        .on_host
        .wait_until_gone::<PersistentVolumeClaim>(HOST, &host_name("data"))
        .await;
    world.settle().await;
    assert!(
        world
            .on_host
            .get::<PersistentVolume>(None, host_disk)
            .is_some()
    );
    world.on_virtual.remove::<PersistentVolume>(None, "disk");
    world
        .on_host
        .wait_until_gone::<PersistentVolume>(None, host_disk)
        .await;
}

/// What the tenant asks a bound claim to be.
fn ask_for(world: &World, size: &str) {
    let resources = json!({"requests": {"storage": size}});
    world
        .on_virtual
        .edit::<PersistentVolumeClaim>(TEAM, "data", |claim| {
            claim.spec.as_mut().unwrap().resources =
                serde_json::from_value(resources.clone()).unwrap();
        });
}

/// A step of the host's resizer, which the tenant must see as it is.
async fn resizer_says(world: &World, status: serde_json::Value) {
    let host = host_name("data");
    let said = status.clone();
    world
        .on_host
        .edit::<PersistentVolumeClaim>(HOST, &host, move |claim| {
            claim.status = serde_json::from_value(said.clone()).unwrap();
        });
    let status = serde_json::from_value(status).unwrap();
    world
        .on_virtual
        .wait_for_object::<PersistentVolumeClaim>(TEAM, "data", |claim| claim.status == status)
        .await;
}

#[tokio::test]
async fn a_claim_grows_step_by_step_before_the_tenants_eyes() {
    let world = World::awake().await;
    bound_claim(&world).await;
    ask_for(&world, "2Gi");
    let asks = |claim: &PersistentVolumeClaim| {
        let requests = claim.spec.as_ref().unwrap().resources.as_ref();
        requests.is_some_and(|it| it.requests.as_ref().unwrap()["storage"].0 == "2Gi")
    };
    world
        .on_host
        .wait_for_object(HOST, &host_name("data"), asks)
        .await;
    let condition = |kind: &str| json!([{"type": kind, "status": "True"}]);
    resizer_says(&world, json!({
        "phase": "Bound", "capacity": {"storage": "1Gi"}, "allocatedResources": {"storage": "2Gi"},
        "allocatedResourceStatuses": {"storage": "ControllerResizeInProgress"},
        "conditions": condition("Resizing"),
    }))
    .await;
    resizer_says(&world, json!({
        "phase": "Bound", "capacity": {"storage": "1Gi"}, "allocatedResources": {"storage": "2Gi"},
        "allocatedResourceStatuses": {"storage": "NodeResizePending"},
        "conditions": condition("FileSystemResizePending"),
    }))
    .await;
    resizer_says(&world, json!({
        "phase": "Bound", "capacity": {"storage": "2Gi"}, "allocatedResources": {"storage": "2Gi"},
    }))
    .await;
    let has_grown = |volume: &PersistentVolume| {
        let capacity = volume.spec.as_ref().unwrap().capacity.as_ref();
        capacity.is_some_and(|it| it["storage"].0 == "2Gi")
    };
    world
        .on_virtual
        .wait_for_object(None, "pvc-1", has_grown)
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_claim_that_may_not_grow_says_so_and_stays_bound() {
    let world = World::awake().await;
    bound_claim(&world).await;
    world.settle().await;
    let denied = "persistentvolumeclaims \"data-x-team-x-test\" is forbidden: only dynamically \
                  provisioned pvc can be resized";
    for _ in 0..20 {
        let host = &world.on_host;
        host.refuse_change("data", StatusCode::FORBIDDEN, denied);
    }
    ask_for(&world, "2Gi");
    let note = world.warning().await.note.unwrap();
    let told = "persistentvolumeclaims \"data\" is forbidden: only dynamically provisioned pvc can be resized";
    assert_eq!(note, told);
    let claim = world
        .on_virtual
        .get::<PersistentVolumeClaim>(TEAM, "data")
        .unwrap();
    assert_eq!(claim.status.unwrap().phase.as_deref(), Some("Bound"));
}

#[tokio::test]
async fn data_of_another_namespace_is_refused_with_a_word() {
    let world = World::awake().await;
    let mut claim = claim("copy");
    let source = json!({"kind": "PersistentVolumeClaim", "name": "data", "namespace": "other"});
    claim.spec.as_mut().unwrap().data_source_ref = serde_json::from_value(source).unwrap();
    world.on_virtual.put(&claim);
    let note = world.warning().await.note.unwrap();
    assert!(
        note.contains("spec.dataSourceRef is in namespace other"),
        "{note}"
    );
    world.settle().await;
    assert!(world.on_host.list::<PersistentVolumeClaim>().is_empty());
}
