//! Volumes: claimed in the virtual cluster, made by the host, and gone on both sides together.

use anyhow::{Context as _, ensure};
use e2e::{gone, is_told, soon, start};
use k8s_openapi::api::{
    apps::v1::StatefulSet,
    core::v1::{Namespace, PersistentVolume, PersistentVolumeClaim, Pod},
    storage::v1::StorageClass,
};
use kube::{
    Api, Client, ResourceExt as _,
    api::{DeleteParams, ListParams, ObjectMeta, Patch, PatchParams, PostParams},
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

/// A class of the host's default provisioner whose claims may grow; it goes with the cluster. Nobody on
/// the host makes volumes bigger, so the test says that it was done.
async fn growing_class(cluster: &VirtualCluster) -> anyhow::Result<StorageClass> {
    let host = cluster.host_client();
    let namespace = Api::<Namespace>::all(host.clone())
        .get(cluster.namespace())
        .await?;
    let classes: Api<StorageClass> = Api::all(host);
    let all = classes.list(&ListParams::default()).await?.items;
    let is_default = |class: &&StorageClass| {
        let mark = "storageclass.kubernetes.io/is-default-class";
        class.annotations().get(mark).is_some_and(|it| it == "true")
    };
    let default = all.iter().find(is_default).context("no default class")?;
    let owner = json!({"apiVersion": "v1", "kind": "Namespace", "name": namespace.name_any(),
        "uid": namespace.uid()});
    let class = json!({
        "metadata": {"name": format!("{}-grows", cluster.name()), "ownerReferences": [owner]},
        "provisioner": default.provisioner, "volumeBindingMode": "WaitForFirstConsumer",
        "allowVolumeExpansion": true,
    });
    let class = serde_json::from_value(class)?;
    Ok(classes.create(&PostParams::default(), &class).await?)
}

#[vcluster_test(distro = "k8s")]
async fn a_claim_grows_as_far_as_the_host_lets_it(
    cluster: VirtualCluster,
    client: Client,
) -> anyhow::Result<()> {
    let mut class = growing_class(&cluster).await?;
    let name = class.name_any();
    let (theirs, own): (Api<StorageClass>, Api<StorageClass>) =
        (Api::all(cluster.host_client()), Api::all(client.clone()));
    class.metadata = ObjectMeta {
        name: Some(name.clone()),
        ..ObjectMeta::default()
    };
    own.create(&PostParams::default(), &class).await?;
    let claims: Api<PersistentVolumeClaim> = Api::default_namespaced(client.clone());
    let claim = json!({"metadata": {"name": "data"}, "spec": {"storageClassName": name,
        "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}}});
    let claim = serde_json::from_value(claim)?;
    claims.create(&PostParams::default(), &claim).await?;
    let image = cluster.image(Component::Shell).await?;
    let mut pod = serde_json::to_value(sleeper("web", &image))?;
    pod["spec"]["volumes"] =
        json!([{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}]);
    let pods = Api::default_namespaced(client.clone());
    start(&pods, &serde_json::from_value(pod)?).await?;

    let parameters = PatchParams::default();
    let size = |size: &str| json!({"spec": {"resources": {"requests": {"storage": size}}}});
    claims
        .patch("data", &parameters, &Patch::Merge(&size("2Mi")))
        .await?;
    let on_host: Api<PersistentVolumeClaim> =
        Api::namespaced(cluster.host_client(), cluster.namespace());
    let host_name = cluster.host_key("default", "data").name;
    let asks = |claim: Option<&PersistentVolumeClaim>| {
        let spec = claim.and_then(|claim| claim.spec.as_ref()?.resources.clone());
        let asked = spec.and_then(|it| it.requests?.get("storage").cloned());
        asked.is_some_and(|it| it.0 == "2Mi")
    };
    let asking = wait::until(&on_host, &host_name, asks, soon("asked for")).await?;
    let volume = asking.and_then(|claim| claim.spec?.volume_name);
    let volume = volume.context("the claim is not bound")?;

    let bigger = json!({"spec": {"capacity": {"storage": "2Mi"}}});
    Api::<PersistentVolume>::all(cluster.host_client())
        .patch(&volume, &parameters, &Patch::Merge(&bigger))
        .await?;
    let done = json!({"status": {"capacity": {"storage": "2Mi"}, "conditions": []}});
    on_host
        .patch_status(&host_name, &parameters, &Patch::Merge(&done))
        .await?;
    let has_grown = |claim: Option<&PersistentVolumeClaim>| {
        let capacity = claim.and_then(|claim| claim.status.as_ref()?.capacity.clone());
        capacity.is_some_and(|it| it["storage"].0 == "2Mi")
    };
    wait::until(&claims, "data", has_grown, soon("grown")).await?;
    let shows_it = |volume: Option<&PersistentVolume>| {
        let capacity = volume.and_then(|volume| volume.spec.as_ref()?.capacity.clone());
        capacity.is_some_and(|it| it["storage"].0 == "2Mi")
    };
    let volumes: Api<PersistentVolume> = Api::all(client.clone());
    wait::until(&volumes, &volume, shows_it, soon("grown")).await?;

    // The host changes its mind, which the virtual cluster does not know.
    let no_more = json!({"allowVolumeExpansion": false});
    theirs
        .patch(&name, &parameters, &Patch::Merge(&no_more))
        .await?;
    claims
        .patch("data", &parameters, &Patch::Merge(&size("3Mi")))
        .await?;
    let words = "the storageclass that provisions the pvc must support resize";
    is_told(&client, "PersistentVolumeClaim", "data", words).await?;
    Ok(())
}
