//! Two clusters on one host know nothing of each other.

use anyhow::ensure;
use e2e::{gone, is_told, soon, start};
use k8s_openapi::api::{
    core::v1::{ConfigMap, ContainerStatus, Namespace, Pod, Secret},
    discovery::v1::EndpointSlice,
};
use kube::{
    Api, Client,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams},
};
use serde_json::json;
use vcluster_fixtures::pods::{shell, sleeper};
use vcluster_harness::{asset::Component, cluster::VirtualCluster, command, vcluster_test, wait};

#[vcluster_test(distro = "k8s")]
async fn twins_are_distinct(first: VirtualCluster, second: VirtualCluster) -> anyhow::Result<()> {
    ensure!(first.namespace() != second.namespace());
    let image = first.image(Component::Shell).await?;
    let (pods, others): (Api<Pod>, Api<Pod>) = (
        Api::default_namespaced(first.client()),
        Api::default_namespaced(second.client()),
    );
    let script = |word: &str| format!("echo {word} > /tmp/word; exec sleep 1000000");
    let (ours, theirs) = (
        shell("web", &image, &script("first")),
        shell("web", &image, &script("second")),
    );
    tokio::try_join!(start(&pods, &ours), start(&others, &theirs))?;

    ensure!(
        command::output(&pods, "web", ["cat", "/tmp/word"])
            .await?
            .trim()
            == "first"
    );
    ensure!(
        command::output(&others, "web", ["cat", "/tmp/word"])
            .await?
            .trim()
            == "second"
    );
    let names = |client| async {
        let list = Api::<Pod>::all(client).list(&ListParams::default()).await?;
        anyhow::Ok(
            list.iter()
                .map(kube::ResourceExt::name_any)
                .collect::<Vec<_>>(),
        )
    };
    let seen = names(first.client()).await?;
    ensure!(
        seen.iter().filter(|name| *name == "web").count() == 1,
        "{seen:?}"
    );
    Ok(())
}

#[vcluster_test(distro = "k8s")]
async fn a_tenant_sees_nothing_of_the_host(cluster: VirtualCluster) -> anyhow::Result<()> {
    let image = cluster.image(Component::Shell).await?;
    let client = cluster.client();
    start(
        &Api::default_namespaced(client.clone()),
        &sleeper("web", &image),
    )
    .await?;

    let namespaces = Api::<Namespace>::all(client.clone())
        .list(&ListParams::default())
        .await?;
    let names = namespaces
        .iter()
        .map(kube::ResourceExt::name_any)
        .collect::<Vec<_>>();
    ensure!(
        names == ["default", "kube-node-lease", "kube-public", "kube-system"],
        "the namespaces are {names:?}"
    );
    for map in Api::<ConfigMap>::all(client)
        .list(&ListParams::default())
        .await?
    {
        let text = serde_json::to_string(&map)?;
        ensure!(
            !text.contains(cluster.namespace()),
            "the host shows in {text}"
        );
    }
    Ok(())
}

/// In the host namespace are the keys of the whole virtual cluster, and a service that finds its API
/// servers by a label.
#[vcluster_test(distro = "k8s")]
async fn no_name_and_no_label_leads_to_the_control_plane(
    cluster: VirtualCluster,
) -> anyhow::Result<()> {
    let image = cluster.image(Component::Shell).await?;
    let keys = format!("{}-pki", cluster.name());
    let on_host: Api<Secret> = Api::namespaced(cluster.host_client(), cluster.namespace());
    ensure!(on_host.get_opt(&keys).await?.is_some(), "no secret {keys}");
    let pods: Api<Pod> = Api::default_namespaced(cluster.client());
    pods.create(&PostParams::default(), &asking(&image, &keys)?)
        .await?;
    let looks = looking(&image, &keys, cluster.name())?;
    let looks = Box::pin(start(&pods, &looks)).await?;
    let found = Box::pin(command::output(&pods, "looks", ["ls", "/keys"])).await?;
    ensure!(found.is_empty(), "found {found}");
    let address = looks.status.and_then(|status| status.pod_ip);
    let servers = Box::pin(api_servers(&cluster)).await?;
    ensure!(!servers.is_empty() && !servers.contains(&address.unwrap_or_default()));
    Box::pin(wait::until(&pods, "asks", is_refused, soon("refused"))).await?;
    Ok(())
}

/// A pod with the label of the API servers, and with the secret `keys` if that may be had.
fn looking(image: &str, keys: &str, cluster: &str) -> serde_json::Result<Pod> {
    let mut pod = sleeper("looks", image);
    let mark = "vcluster-test.dev/control-plane".to_owned();
    pod.metadata.labels = Some([(mark, cluster.to_owned())].into());
    if let Some(spec) = &mut pod.spec {
        let volume = json!([{"name": "keys", "secret": {"secretName": keys, "optional": true}}]);
        spec.volumes = serde_json::from_value(volume)?;
        let mount = json!([{"name": "keys", "mountPath": "/keys"}]);
        spec.containers[0].volume_mounts = serde_json::from_value(mount)?;
    }
    Ok(pod)
}

/// A pod that does not start without the secret `keys`.
fn asking(image: &str, keys: &str) -> serde_json::Result<Pod> {
    let mut pod = sleeper("asks", image);
    if let Some(spec) = &mut pod.spec {
        let source = json!([{"secretRef": {"name": keys}}]);
        spec.containers[0].env_from = serde_json::from_value(source)?;
    }
    Ok(pod)
}

fn is_refused(pod: Option<&Pod>) -> bool {
    let reason = |container: &ContainerStatus| {
        let state = container.state.as_ref()?;
        state.waiting.as_ref()?.reason.clone()
    };
    let status = pod.and_then(|pod| pod.status.as_ref());
    let containers = status.and_then(|status| status.container_statuses.as_ref());
    let mut containers = containers.into_iter().flatten();
    containers.any(|it| reason(it).as_deref() == Some("CreateContainerConfigError"))
}

/// Where the host's service of the cluster leads.
async fn api_servers(cluster: &VirtualCluster) -> anyhow::Result<Vec<String>> {
    let slices: Api<EndpointSlice> = Api::namespaced(cluster.host_client(), cluster.namespace());
    let selector = format!("kubernetes.io/service-name={}", cluster.name());
    let slices = slices
        .list(&ListParams::default().labels(&selector))
        .await?;
    let servers = slices
        .items
        .into_iter()
        .flat_map(|slice| slice.endpoints.into_iter().flatten());
    Ok(servers.flat_map(|server| server.addresses).collect())
}

/// How much of its node a tenant may have is for the host's admission to say.
#[vcluster_test(distro = "k8s")]
async fn a_pod_that_is_part_of_its_node_is_the_hosts_to_refuse(
    cluster: VirtualCluster,
    client: Client,
) -> anyhow::Result<()> {
    let namespaces: Api<Namespace> = Api::all(cluster.host_client());
    let level = json!({"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "baseline"}}});
    let patch = Patch::Merge(&level);
    namespaces
        .patch(cluster.namespace(), &PatchParams::default(), &patch)
        .await?;
    let image = cluster.image(Component::Shell).await?;
    let pods: Api<Pod> = Api::default_namespaced(client.clone());
    let mut pod = serde_json::to_value(sleeper("spy", &image))?;
    pod["spec"]["hostPID"] = json!(true);
    let on_host: Api<Pod> = Api::namespaced(cluster.host_client(), cluster.namespace());
    let parameters = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    let (deadline, spy) = (soon("refused on the host"), serde_json::from_value(pod)?);
    while on_host.create(&parameters, &spy).await.is_ok() {
        ensure!(!deadline.is_over(), "the host heeds no pod security");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    pods.create(&PostParams::default(), &spy).await?;
    let note = is_told(&client, "Pod", "spy", "violates PodSecurity \"baseline").await?;
    ensure!(note.contains("hostPID"), "{note}");
    ensure!(
        !note.contains(cluster.namespace()),
        "the host shows in {note}"
    );
    // Others are as they were, and so is the name once it is free.
    pods.delete("spy", &DeleteParams::default().grace_period(0))
        .await?;
    gone(&pods, "spy").await?;
    start(&pods, &sleeper("spy", &image)).await?;
    Ok(())
}
