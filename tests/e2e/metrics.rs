//! What pods and nodes use, as the API group `metrics.k8s.io`.

use std::{collections::BTreeSet, time::Duration};

use anyhow::{Context as _, ensure};
use e2e::{soon, start};
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, Client, ResourceExt as _, api::ListParams};
use serde_json::Value;
use vcluster_fixtures::pods::sleeper;
use vcluster_harness::{asset::Component, cluster::VirtualCluster, vcluster_test};

async fn get(client: &Client, path: &str, user: Option<&str>) -> Result<Value, kube::Error> {
    let path = format!("/apis/metrics.k8s.io/v1beta1/{path}");
    let mut request = http::Request::get(path);
    if let Some(user) = user {
        request = request.header("Impersonate-User", user);
    }
    let request = request.body(Vec::new()).map_err(kube::Error::HttpError)?;
    client.request(request).await
}

#[vcluster_test(distro = "k8s", sync = "metrics-server.yaml")]
async fn the_tenant_sees_what_its_pods_and_nodes_use(
    cluster: VirtualCluster,
    client: Client,
) -> anyhow::Result<()> {
    let image = cluster.image(Component::Shell).await?;
    let pods: Api<Pod> = Api::default_namespaced(client.clone());
    let pod = start(&pods, &sleeper("web", &image)).await?;

    // Kubelets tell nobody when they have new figures.
    let deadline = soon("figures of the pod");
    let metrics = loop {
        let answer = get(&client, "namespaces/default/pods/web", None).await;
        if let Ok(metrics) = answer {
            break metrics;
        }
        let now = tokio::time::Instant::now();
        ensure!(now < deadline.instant(), "no figures came: {answer:?}");
        tokio::time::sleep(Duration::from_millis(500)).await;
    };
    ensure!(metrics["containers"][0]["name"] == "main", "{metrics}");
    let memory = metrics["containers"][0]["usage"]["memory"].as_str();
    ensure!(memory.is_some_and(|it| it.ends_with("Ki")), "{metrics}");

    let all = get(&client, "pods", None).await?;
    let items = all["items"].as_array().context("no list")?;
    let named = |item: &Value| item["metadata"]["name"].as_str().map(str::to_owned);
    let shown: BTreeSet<_> = items.iter().filter_map(named).collect();
    let own = Api::<Pod>::all(client.clone());
    let own = own.list(&ListParams::default()).await?;
    let own: BTreeSet<_> = own.iter().map(kube::ResourceExt::name_any).collect();
    ensure!(shown.contains("web"), "{shown:?}");
    ensure!(shown.is_subset(&own), "{shown:?} are not all of {own:?}");

    let node = pod.spec.as_ref().and_then(|spec| spec.node_name.clone());
    let node = node.with_context(|| format!("{} has no node", pod.name_any()))?;
    let of_node = get(&client, &format!("nodes/{node}"), None).await?;
    let cpu = of_node["usage"]["cpu"].as_str();
    ensure!(cpu.is_some_and(|it| it.ends_with('n')), "{of_node}");

    let refused = get(&client, "pods", Some("nobody")).await.unwrap_err();
    ensure!(
        matches!(&refused, kube::Error::Api(status) if status.code == 403),
        "{refused:?}"
    );
    Ok(())
}
