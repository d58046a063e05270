//! Services: one address on both sides, found by name from every pod of the cluster.

use anyhow::{Context as _, ensure};
use e2e::{gone, output_of, soon, start};
use k8s_openapi::api::core::v1::{Pod, Service};
use kube::{
    Api, Client,
    api::{DeleteParams, PostParams},
};
use serde_json::json;
use vcluster_fixtures::pods::{shell, visitor};
use vcluster_harness::{asset::Component, cluster::VirtualCluster, vcluster_test, wait};

/// A pod that answers on port 8080 with its own name.
pub(crate) fn server(name: &str, image: &str) -> anyhow::Result<Pod> {
    let script =
        "mkdir /tmp/www; hostname > /tmp/www/index.html; exec httpd -f -p 8080 -h /tmp/www";
    let mut pod = serde_json::to_value(shell(name, image, script))?;
    pod["metadata"]["labels"] = json!({"app": name});
    pod["spec"]["containers"][0]["readinessProbe"] =
        json!({"httpGet": {"path": "/", "port": 8080}, "periodSeconds": 1});
    Ok(serde_json::from_value(pod)?)
}

pub(crate) fn service(name: &str, spec: &serde_json::Value) -> anyhow::Result<Service> {
    Ok(serde_json::from_value(
        json!({"metadata": {"name": name}, "spec": spec}),
    )?)
}

#[vcluster_test(distro = "k8s")]
async fn a_service_has_one_address_on_both_sides_and_answers(
    cluster: VirtualCluster,
    client: Client,
) -> anyhow::Result<()> {
    let image = cluster.image(Component::Shell).await?;
    let pods: Api<Pod> = Api::default_namespaced(client.clone());
    let services: Api<Service> = Api::default_namespaced(client);
    let spec = json!({"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": 8080}]});
    let web = services
        .create(&PostParams::default(), &service("web", &spec)?)
        .await?;
    let address = web.spec.and_then(|s| s.cluster_ip).context("no address")?;
    start(&pods, &server("web", &image)?).await?;

    let by_address = output_of(
        &pods,
        &visitor("by-address", &image, &format!("http://{address}")),
    )
    .await?;
    let by_name = output_of(&pods, &visitor("by-name", &image, "http://web")).await?;

    ensure!((by_address.trim(), by_name.trim()) == ("web", "web"));
    let host: Api<Service> = Api::namespaced(cluster.host_client(), cluster.namespace());
    let host_name = cluster.host_key("default", "web").name;
    let host_address = host.get(&host_name).await?.spec.and_then(|s| s.cluster_ip);
    ensure!(host_address == Some(address));

    services.delete("web", &DeleteParams::default()).await?;
    gone(&host, &host_name).await
}

#[vcluster_test(distro = "k8s")]
async fn a_headless_service_resolves_to_its_pods(
    cluster: VirtualCluster,
    client: Client,
) -> anyhow::Result<()> {
    let image = cluster.image(Component::Shell).await?;
    let pods: Api<Pod> = Api::default_namespaced(client.clone());
    let services: Api<Service> = Api::default_namespaced(client);
    let spec = json!({"clusterIP": "None", "selector": {"app": "db"}, "ports": [{"port": 8080}]});
    services
        .create(&PostParams::default(), &service("db", &spec)?)
        .await?;
    start(&pods, &server("db", &image)?).await?;

    let said = output_of(&pods, &visitor("visitor", &image, "http://db:8080")).await?;

    ensure!(said.trim() == "db", "the visitor read {said:?}");
    Ok(())
}

#[vcluster_test(distro = "k8s")]
async fn endpoints_that_the_tenant_writes_are_used(
    cluster: VirtualCluster,
    client: Client,
) -> anyhow::Result<()> {
    let image = cluster.image(Component::Shell).await?;
    let pods: Api<Pod> = Api::default_namespaced(client.clone());
    let server = start(&pods, &server("web", &image)?).await?;
    let address = server.status.and_then(|s| s.pod_ip).context("no address")?;
    let services: Api<Service> = Api::default_namespaced(client.clone());
    let spec = json!({"ports": [{"port": 80, "targetPort": 8080}]});
    services
        .create(&PostParams::default(), &service("manual", &spec)?)
        .await?;
    let slices: Api<k8s_openapi::api::discovery::v1::EndpointSlice> =
        Api::default_namespaced(client);
    let slice = serde_json::from_value(json!({
        "metadata": {"name": "manual-1", "labels": {"kubernetes.io/service-name": "manual"}},
        "addressType": "IPv4",
        "ports": [{"port": 8080, "protocol": "TCP"}],
        "endpoints": [{"addresses": [address], "conditions": {"ready": true}}],
    }))?;
    slices.create(&PostParams::default(), &slice).await?;

    let said = output_of(&pods, &visitor("visitor", &image, "http://manual")).await?;

    ensure!(said.trim() == "web", "the visitor read {said:?}");
    Ok(())
}

#[vcluster_test(distro = "k8s")]
async fn a_node_port_is_the_same_on_both_sides(
    cluster: VirtualCluster,
    client: Client,
) -> anyhow::Result<()> {
    let services: Api<Service> = Api::default_namespaced(client);
    let spec = json!({"type": "NodePort", "selector": {"app": "web"}, "ports": [{"port": 80}]});
    services
        .create(&PostParams::default(), &service("web", &spec)?)
        .await?;
    let host: Api<Service> = Api::namespaced(cluster.host_client(), cluster.namespace());
    let host_name = cluster.host_key("default", "web").name;
    let node_port = |service: &Service| service.spec.as_ref()?.ports.as_ref()?.first()?.node_port;
    let on_host = wait::until(
        &host,
        &host_name,
        move |s: Option<&Service>| s.and_then(node_port).is_some(),
        soon("given a node port"),
    )
    .await?
    .and_then(|s| node_port(&s));

    let agrees = move |s: Option<&Service>| s.and_then(node_port) == on_host;
    wait::until(&services, "web", agrees, soon("of the host's node port")).await?;
    Ok(())
}
