//! Two clusters on one host know nothing of each other.

use anyhow::ensure;
use e2e::{gone, is_told, soon, start, twin_of};
use k8s_openapi::api::{
    core::v1::{ConfigMap, ContainerStatus, Endpoints, Namespace, Node, Pod, Secret, Service},
    discovery::v1::EndpointSlice,
    networking::v1::Ingress,
    node::v1::RuntimeClass,
};
use kube::{
    Api, Client,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};
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

/// What traffic others than the tenant send would follow (CVE-2020-8554, CVE-2021-25740, CVE-2021-25742).
#[vcluster_test(distro = "k8s", sync = "sync.yaml")]
async fn no_service_and_no_ingress_leads_others_astray(
    cluster: VirtualCluster,
    client: Client,
) -> anyhow::Result<()> {
    let name = "db.elsewhere.svc.cluster.local";
    let alias = json!({"metadata": {"name": "alias"}, "spec": {"type": "ExternalName", "externalName": name}});
    let services: Api<Service> = Api::default_namespaced(client.clone());
    let parameters = PostParams::default();
    services
        .create(&parameters, &serde_json::from_value(alias)?)
        .await?;
    let ports = json!([{"port": 80}]);
    let thief = json!({"metadata": {"name": "thief"}, "spec": {"externalIPs": ["192.0.2.7"], "ports": ports}});
    let thief = Box::pin(twin_of::<Service>(&cluster, thief)).await?;
    ensure!(thief["spec"]["externalIPs"].is_null(), "{thief}");
    let note = is_told(&client, "Service", "thief", "spec.externalIPs (192.0.2.7)").await?;
    ensure!(note.contains("toHost.services.externalIPs"), "{note}");

    let open = json!({"metadata": {"name": "open"}, "spec": {"type": "NodePort", "ports": ports}});
    services
        .create(&parameters, &serde_json::from_value(open)?)
        .await?;
    let foreign = json!({"metadata": {"name": "open"}, "subsets": [
        {"addresses": [{"ip": "192.0.2.9"}], "ports": [{"port": 80}]}]});
    let open = Box::pin(twin_of::<Endpoints>(&cluster, foreign)).await?;
    ensure!(!open.to_string().contains("192.0.2.9"), "{open}");
    let note = is_told(&client, "Endpoints", "open", "1 addresses").await?;
    ensure!(note.contains("toHost.services.foreignEndpoints"), "{note}");

    let nginx = "nginx.ingress.kubernetes.io";
    let annotations = json!({
        format!("{nginx}/configuration-snippet"): "alias /;",
        format!("{nginx}/auth-secret"): "kube-system/admin",
        "external-dns.alpha.kubernetes.io/hostname": "www.example.com",
    });
    let spec = json!({"defaultBackend": {"service": {"name": "open", "port": {"number": 80}}}});
    let ingress = json!({"metadata": {"name": "web", "annotations": annotations}, "spec": spec});
    let ingress = Box::pin(twin_of::<Ingress>(&cluster, ingress)).await?;
    let arrived = &ingress["metadata"]["annotations"];
    ensure!(
        arrived[format!("{nginx}/configuration-snippet")].is_null(),
        "{arrived}"
    );
    ensure!(
        arrived["external-dns.alpha.kubernetes.io/hostname"].is_null(),
        "{arrived}"
    );
    let secret = cluster.host_key("kube-system", "admin").to_string();
    ensure!(
        arrived[format!("{nginx}/auth-secret")] == secret,
        "{arrived}"
    );
    for key in [
        "configuration-snippet",
        "external-dns.alpha.kubernetes.io/hostname",
    ] {
        is_told(&client, "Ingress", "web", key).await?;
    }

    // It was the first that came, and everything after it has a twin by now.
    let on_host: Api<Service> = Api::namespaced(cluster.host_client(), cluster.namespace());
    let alias = cluster.host_key("default", "alias").name;
    ensure!(
        on_host.get_opt(&alias).await?.is_none(),
        "{alias} is on the host"
    );
    Ok(())
}

/// What add-ons, classes and schedulers of the host would give.
#[vcluster_test(distro = "k8s")]
async fn a_pod_gets_no_more_of_the_host_than_its_cluster_may(
    cluster: VirtualCluster,
    client: Client,
) -> anyhow::Result<()> {
    let image = cluster.image(Component::Shell).await?;
    let pods: Api<Pod> = Api::default_namespaced(client.clone());
    let pod = |name: &str, more: Value| -> anyhow::Result<Pod> {
        let mut pod = serde_json::to_value(sleeper(name, &image))?;
        for (key, value) in more.as_object().into_iter().flatten() {
            pod["spec"][key] = value.clone();
        }
        Ok(serde_json::from_value(pod)?)
    };
    let networks = "k8s.v1.cni.cncf.io/networks";
    let mut curious = pod("curious", json!({}))?;
    curious.metadata.annotations =
        Some([(networks.to_owned(), "kube-system/admin".to_owned())].into());
    let curious = serde_json::to_value(curious)?;
    let curious = Box::pin(twin_of::<Pod>(&cluster, curious)).await?;
    ensure!(
        curious["metadata"]["annotations"][networks].is_null(),
        "{curious}"
    );
    is_told(&client, "Pod", "curious", networks).await?;

    let class = json!({"metadata": {"name": "sandbox"}, "handler": "sandbox"});
    let classes: Api<RuntimeClass> = Api::all(client.clone());
    classes
        .create(&PostParams::default(), &serde_json::from_value(class)?)
        .await?;
    let sandboxed = pod("sandboxed", json!({"runtimeClassName": "sandbox"}))?;
    pods.create(&PostParams::default(), &sandboxed).await?;
    is_told(&client, "Pod", "sandboxed", "fromHost.runtimeClasses").await?;

    let waiting = pod("waiting", json!({"schedulerName": "mine"}))?;
    pods.create(&PostParams::default(), &waiting).await?;
    is_told(&client, "Pod", "waiting", "toHost.pods.schedulerNames").await?;
    let on_host: Api<Pod> = Api::namespaced(cluster.host_client(), cluster.namespace());
    for name in ["sandboxed", "waiting"] {
        let twin = cluster.host_key("default", name).name;
        ensure!(
            on_host.get_opt(&twin).await?.is_none(),
            "{twin} is on the host"
        );
    }
    // As the tenant's own scheduler does.
    let nodes: Api<Node> = Api::all(cluster.host_client());
    let nodes = nodes.list(&ListParams::default()).await?;
    let node = nodes
        .items
        .iter()
        .find_map(|node| node.metadata.name.clone());
    let binding = json!({"apiVersion": "v1", "kind": "Binding", "metadata": {"name": "waiting"},
        "target": {"apiVersion": "v1", "kind": "Node", "name": node}});
    let _bound: Value = pods
        .create_subresource("binding", "waiting", &PostParams::default(), &binding)
        .await?;
    let is_ready = wait::conditions::is_pod_ready();
    Box::pin(wait::until(&pods, "waiting", is_ready, soon("ready"))).await?;
    Ok(())
}
