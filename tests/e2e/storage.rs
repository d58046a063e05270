//! Volumes: claimed in the virtual cluster, made by the host, and gone on both sides together.

use anyhow::{Context as _, ensure};
use e2e::{gone, soon, start};
use k8s_openapi::api::{
    apps::v1::StatefulSet,
    core::v1::{PersistentVolume, PersistentVolumeClaim, Pod},
};
use kube::{
    Api, Client, ResourceExt as _,
    api::{DeleteParams, PostParams},
};
use serde_json::json;
use vcluster_fixtures::pods::sleeper;
use vcluster_harness::{
    asset::Component,
    cluster::VirtualCluster,
    command, vcluster_test,
    wait::{self, conditions, conditions::Condition as _},
};

/// One replica with a volume of its own at `/data`, on the host's default class, which binds when the
/// first pod comes.
fn database(image: &str) -> anyhow::Result<StatefulSet> {
    let mut template = serde_json::to_value(sleeper("unused", image).spec)?;
    template["restartPolicy"] = json!("Always");
    template["containers"][0]["volumeMounts"] = json!([{"name": "data", "mountPath": "/data"}]);
    let claim = json!({
        "metadata": {"name": "data"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}},
    });
    Ok(serde_json::from_value(json!({
        "metadata": {"name": "db"},
        "spec": {
            "serviceName": "db", "replicas": 1, "selector": {"matchLabels": {"app": "db"}},
            "template": {"metadata": {"labels": {"app": "db"}}, "spec": template},
            "volumeClaimTemplates": [claim],
        },
    }))?)
}

#[vcluster_test(distro = "k8s")]
async fn data_of_a_stateful_set_outlives_its_pod_and_not_its_claim(
    cluster: VirtualCluster,
    client: Client,
) -> anyhow::Result<()> {
    let image = cluster.image(Component::Shell).await?;
    let sets: Api<StatefulSet> = Api::default_namespaced(client.clone());
    let pods: Api<Pod> = Api::default_namespaced(client.clone());
    let claims: Api<PersistentVolumeClaim> = Api::default_namespaced(client.clone());
    let volumes: Api<PersistentVolume> = Api::all(client);
    sets.create(&PostParams::default(), &database(&image)?)
        .await?;
    let first = wait::until(&pods, "db-0", conditions::is_pod_ready(), soon("ready"))
        .await?
        .context("gone")?;
    let write = "echo kept > /data/word && sync";
    command::output(&pods, "db-0", ["sh", "-c", write]).await?;

    let claim = claims.get("data-db-0").await?;
    let phase = claim.status.and_then(|status| status.phase);
    ensure!(phase.as_deref() == Some("Bound"), "the claim is {phase:?}");
    let volume = claim.spec.and_then(|spec| spec.volume_name);
    let volume = volume.context("the claim names no volume")?;
    let shown = volumes.get(&volume).await?;
    let owner = shown.spec.and_then(|spec| spec.claim_ref?.name);
    ensure!(owner.as_deref() == Some("data-db-0"), "bound to {owner:?}");

    pods.delete("db-0", &DeleteParams::default()).await?;
    let old = first.uid();
    let is_new_and_ready = move |pod: Option<&Pod>| {
        pod.is_some_and(|pod| {
            pod.uid() != old && conditions::is_pod_ready().matches_object(Some(pod))
        })
    };
    wait::until(&pods, "db-0", is_new_and_ready, soon("ready again")).await?;
    let word = command::output(&pods, "db-0", ["cat", "/data/word"]).await?;
    ensure!(word == "kept\n", "the volume says {word:?}");

    sets.delete("db", &DeleteParams::background()).await?;
    claims.delete("data-db-0", &DeleteParams::default()).await?;
    gone(&claims, "data-db-0").await?;
    gone(&volumes, &volume).await?;
    let on_host: Api<PersistentVolumeClaim> =
        Api::namespaced(cluster.host_client(), cluster.namespace());
    let host_name = cluster.host_key("default", "data-db-0").name;
    gone(&on_host, &host_name).await?;
    gone(
        &Api::<PersistentVolume>::all(cluster.host_client()),
        &volume,
    )
    .await
}

#[vcluster_test(distro = "k8s", sync = "sync.yaml")]
async fn a_pod_has_the_volume_that_the_tenant_wrote(
    cluster: VirtualCluster,
    client: Client,
) -> anyhow::Result<()> {
    let volumes: Api<PersistentVolume> = Api::all(client.clone());
    let claims: Api<PersistentVolumeClaim> = Api::default_namespaced(client.clone());
    let shape = json!({"accessModes": ["ReadWriteOnce"], "storageClassName": "manual"});
    let with = |more: serde_json::Value| {
        let mut spec = shape.clone();
        if let (Some(spec), Some(more)) = (spec.as_object_mut(), more.as_object()) {
            spec.extend(more.clone());
        }
        spec
    };
    // Nothing is written there, so that nothing stays on the node.
    let disk = json!({"metadata": {"name": "disk"}, "spec": with(json!({
        "capacity": {"storage": "1Gi"}, "hostPath": {"path": "/usr/share"}}))});
    let claim = json!({"metadata": {"name": "data"}, "spec": with(json!({
        "volumeName": "disk", "resources": {"requests": {"storage": "1Mi"}}}))});
    let parameters = PostParams::default();
    claims
        .create(&parameters, &serde_json::from_value(claim)?)
        .await?;
    volumes
        .create(&parameters, &serde_json::from_value(disk)?)
        .await?;
    let image = cluster.image(Component::Shell).await?;
    let mut pod = serde_json::to_value(sleeper("web", &image))?;
    pod["spec"]["containers"][0]["volumeMounts"] =
        json!([{"name": "data", "mountPath": "/data", "readOnly": true}]);
    pod["spec"]["volumes"] =
        json!([{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}]);
    start(
        &Api::default_namespaced(client),
        &serde_json::from_value(pod)?,
    )
    .await?;

    let claim = claims.get("data").await?;
    let spec = claim.spec.context("no specification")?;
    ensure!(spec.volume_name.as_deref() == Some("disk"));
    ensure!(spec.storage_class_name.as_deref() == Some("manual"));
    let is_bound = |volume: Option<&PersistentVolume>| {
        let status = volume.and_then(|volume| volume.status.as_ref());
        status.is_some_and(|status| status.phase.as_deref() == Some("Bound"))
    };
    wait::until(&volumes, "disk", is_bound, soon("bound")).await?;
    Ok(())
}
