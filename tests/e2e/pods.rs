//! Pods: born in the virtual cluster, run by the host, and gone on both sides together.

use anyhow::{Context as _, ensure};
use e2e::{gone, output_of, soon, start};
use k8s_openapi::api::{apps::v1::StatefulSet, core::v1::Pod};
use kube::{
    Api, Client, ResourceExt as _,
    api::{DeleteParams, LogParams, Patch, PatchParams, PostParams},
};
use serde_json::json;
use vcluster_fixtures::pods::{shell, sleeper};
use vcluster_harness::{
    asset::Component,
    cluster::VirtualCluster,
    command, vcluster_test,
    wait::{self, conditions},
};

fn host_pods(cluster: &VirtualCluster) -> Api<Pod> {
    Api::namespaced(cluster.host_client(), cluster.namespace())
}

#[vcluster_test(distro = "k8s")]
async fn a_pod_runs_on_the_host_and_shows_its_status(
    cluster: VirtualCluster,
    client: Client,
) -> anyhow::Result<()> {
    let image = cluster.image(Component::Shell).await?;
    let pods: Api<Pod> = Api::default_namespaced(client);
    let pod = start(&pods, &sleeper("web", &image)).await?;

    let host_name = cluster.host_key("default", "web").name;
    let host = host_pods(&cluster).get(&host_name).await?;
    let (status, host_status) = (
        pod.status.context("no virtual status")?,
        host.status.context("no host status")?,
    );
    ensure!(status.pod_ip.is_some(), "no address: {status:?}");
    ensure!(status.pod_ip == host_status.pod_ip);
    ensure!(status.host_ip == host_status.host_ip);
    let node = |spec: Option<k8s_openapi::api::core::v1::PodSpec>| spec.and_then(|s| s.node_name);
    ensure!(node(pod.spec) == node(host.spec));
    Ok(())
}

#[vcluster_test(distro = "k8s")]
async fn a_deleted_pod_is_gone_on_both_sides(
    cluster: VirtualCluster,
    client: Client,
) -> anyhow::Result<()> {
    let image = cluster.image(Component::Shell).await?;
    let pods: Api<Pod> = Api::default_namespaced(client);
    start(&pods, &sleeper("web", &image)).await?;

    pods.delete("web", &DeleteParams::default()).await?;

    gone(&pods, "web").await?;
    gone(
        &host_pods(&cluster),
        &cluster.host_key("default", "web").name,
    )
    .await
}

#[vcluster_test(distro = "k8s")]
async fn a_pod_made_again_under_its_name_is_another_pod(
    cluster: VirtualCluster,
    client: Client,
) -> anyhow::Result<()> {
    let image = cluster.image(Component::Shell).await?;
    let pods: Api<Pod> = Api::default_namespaced(client);
    start(
        &pods,
        &shell("web", &image, "echo first; exec sleep 1000000"),
    )
    .await?;
    let host_name = cluster.host_key("default", "web").name;
    let first = host_pods(&cluster).get(&host_name).await?;

    pods.delete("web", &DeleteParams::default()).await?;
    gone(&pods, "web").await?;
    start(
        &pods,
        &shell("web", &image, "echo second; exec sleep 1000000"),
    )
    .await?;

    let second = host_pods(&cluster).get(&host_name).await?;
    ensure!(first.uid() != second.uid());
    let said = pods.logs("web", &LogParams::default()).await?;
    ensure!(said == "second\n", "the log says {said:?}");
    Ok(())
}

#[vcluster_test(distro = "k8s")]
async fn a_pod_that_the_host_lost_is_deleted_and_not_made_again(
    cluster: VirtualCluster,
    client: Client,
) -> anyhow::Result<()> {
    let image = cluster.image(Component::Shell).await?;
    let pods: Api<Pod> = Api::default_namespaced(client);
    start(&pods, &sleeper("web", &image)).await?;

    let host_name = cluster.host_key("default", "web").name;
    host_pods(&cluster)
        .delete(&host_name, &DeleteParams::default().grace_period(0))
        .await?;

    gone(&pods, "web").await?;
    gone(&host_pods(&cluster), &host_name).await
}

#[vcluster_test(distro = "k8s")]
async fn a_pod_sees_the_tenants_names_and_not_the_hosts(
    cluster: VirtualCluster,
    client: Client,
) -> anyhow::Result<()> {
    let image = cluster.image(Component::Shell).await?;
    let pods: Api<Pod> = Api::default_namespaced(client);
    let mut pod = shell(
        "mirror",
        &image,
        "echo $NAME $NAMESPACE $ACCOUNT $LABEL $(hostname); echo $KUBERNETES_SERVICE_HOST; cat /info/labels",
    );
    let field = |path: &str| json!({"fieldRef": {"fieldPath": path}});
    let mut value = serde_json::to_value(&pod)?;
    value["metadata"]["labels"] = json!({"color": "red"});
    value["spec"]["containers"][0]["env"] = json!([
        {"name": "NAME", "valueFrom": field("metadata.name")},
        {"name": "NAMESPACE", "valueFrom": field("metadata.namespace")},
        {"name": "ACCOUNT", "valueFrom": field("spec.serviceAccountName")},
        {"name": "LABEL", "valueFrom": field("metadata.labels['color']")},
    ]);
    value["spec"]["containers"][0]["volumeMounts"] =
        json!([{"name": "info", "mountPath": "/info"}]);
    value["spec"]["volumes"] = json!([{"name": "info", "downwardAPI": {"items": [
        {"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}]}}]);
    pod = serde_json::from_value(value)?;

    let said = output_of(&pods, &pod).await?;

    let service: k8s_openapi::api::core::v1::Service = Api::default_namespaced(cluster.client())
        .get("kubernetes")
        .await?;
    let address = service
        .spec
        .and_then(|spec| spec.cluster_ip)
        .context("no address")?;
    let expected = format!("mirror default default red mirror\n{address}\ncolor=\"red\"\n");
    ensure!(
        said.trim_end() == expected.trim_end(),
        "the pod said {said:?}"
    );
    Ok(())
}

#[vcluster_test(distro = "k8s")]
async fn pods_of_a_stateful_set_come_back_under_their_names(
    cluster: VirtualCluster,
    client: Client,
) -> anyhow::Result<()> {
    let image = cluster.image(Component::Shell).await?;
    let sets: Api<StatefulSet> = Api::default_namespaced(client.clone());
    let template = serde_json::to_value(sleeper("unused", &image).spec)?;
    let mut set = json!({
        "metadata": {"name": "db"},
        "spec": {
            "serviceName": "db", "replicas": 1, "selector": {"matchLabels": {"app": "db"}},
            "template": {"metadata": {"labels": {"app": "db"}}, "spec": template},
        },
    });
    set["spec"]["template"]["spec"]["restartPolicy"] = json!("Always");
    sets.create(&PostParams::default(), &serde_json::from_value(set)?)
        .await?;
    let pods: Api<Pod> = Api::default_namespaced(client);
    let first = wait::until(&pods, "db-0", conditions::is_pod_ready(), soon("ready"))
        .await?
        .context("gone")?;

    pods.delete("db-0", &DeleteParams::default()).await?;

    let old = first.uid();
    let is_new_and_ready = move |pod: Option<&Pod>| {
        pod.is_some_and(|pod| pod.uid() != old)
            && wait::conditions::Condition::matches_object(&conditions::is_pod_ready(), pod)
    };
    wait::until(&pods, "db-0", is_new_and_ready, soon("ready again")).await?;
    let name = command::output(&pods, "db-0", ["hostname"]).await?;
    ensure!(name.trim() == "db-0", "it calls itself {name:?}");
    let hosts = command::output(&pods, "db-0", ["cat", "/etc/hosts"]).await?;
    ensure!(
        hosts.contains("\tdb-0.db.default.svc.cluster.local\tdb-0\n"),
        "its hosts file says {hosts:?}"
    );
    Ok(())
}

#[vcluster_test(distro = "k8s")]
async fn a_pod_that_cannot_be_placed_says_why_to_the_tenant(
    cluster: VirtualCluster,
    client: Client,
) -> anyhow::Result<()> {
    let image = cluster.image(Component::Shell).await?;
    let pods: Api<Pod> = Api::default_namespaced(client);
    let mut pod = sleeper("nowhere", &image);
    pod.spec.get_or_insert_default().node_selector =
        Some([("no-such-label".to_owned(), "x".to_owned())].into());
    pods.create(&PostParams::default(), &pod).await?;

    let is_unschedulable = |pod: Option<&Pod>| {
        pod.and_then(|pod| pod.status.as_ref()?.conditions.as_ref())
            .is_some_and(|conditions| {
                conditions
                    .iter()
                    .any(|c| c.reason.as_deref() == Some("Unschedulable"))
            })
    };
    wait::until(&pods, "nowhere", is_unschedulable, soon("unschedulable")).await?;
    Ok(())
}

#[vcluster_test(distro = "k8s")]
async fn a_running_pod_is_debugged_and_resized(
    cluster: VirtualCluster,
    client: Client,
) -> anyhow::Result<()> {
    let image = cluster.image(Component::Shell).await?;
    let pods: Api<Pod> = Api::default_namespaced(client);
    let mut pod = serde_json::to_value(sleeper("web", &image))?;
    pod["spec"]["containers"][0]["resources"] = json!({"requests": {"cpu": "10m"}});
    start(&pods, &serde_json::from_value(pod)?).await?;

    let debugger = json!({"spec": {"ephemeralContainers": [{"name": "debugger", "image": image,
        "targetContainerName": "main", "command": ["sh", "-c", "echo looking; exec sleep 1000000"]}]}});
    let parameters = PatchParams::default();
    pods.patch_ephemeral_containers("web", &parameters, &Patch::Strategic(debugger))
        .await?;
    let is_debugged = |pod: Option<&Pod>| {
        let status = pod.and_then(|pod| pod.status.as_ref());
        status
            .and_then(|status| status.ephemeral_container_statuses.as_ref())
            .is_some_and(|all| {
                let mut each = all.iter().filter_map(|one| one.state.as_ref());
                each.any(|state| state.running.is_some())
            })
    };
    wait::until(&pods, "web", is_debugged, soon("debugged")).await?;
    let of_debugger = LogParams {
        container: Some("debugger".to_owned()),
        ..LogParams::default()
    };
    let said = pods.logs("web", &of_debugger).await?;
    ensure!(said == "looking\n", "the debugger said {said:?}");

    let larger = json!({"spec": {"containers": [{"name": "main", "resources": {"requests": {"cpu": "20m"}}}]}});
    pods.patch_resize("web", &parameters, &Patch::Strategic(larger))
        .await?;
    let is_larger = |pod: Option<&Pod>| {
        let spec = pod.and_then(|pod| pod.spec.as_ref());
        spec.and_then(|spec| spec.containers[0].resources.as_ref()?.requests.as_ref())
            .is_some_and(|requests| requests["cpu"].0 == "20m")
    };
    let host_name = cluster.host_key("default", "web").name;
    wait::until(&host_pods(&cluster), &host_name, is_larger, soon("larger")).await?;
    Ok(())
}
