//! What is synced only on request: each goes to the host, under the rights that its switch gives.

use anyhow::{Context as _, ensure};
use e2e::{gone, start, twin_of};
use k8s_openapi::api::{
    core::v1::{Pod, ServiceAccount},
    networking::v1::{Ingress, NetworkPolicy},
    policy::v1::PodDisruptionBudget,
    scheduling::v1::PriorityClass,
    storage::v1::StorageClass,
};
use kube::{
    Api, Client, Resource,
    api::{DeleteParams, ListParams, PostParams},
    core::NamespaceResourceScope,
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use vcluster_fixtures::pods::sleeper;
use vcluster_harness::{asset::Component, cluster::VirtualCluster, vcluster_test};

/// Creates an object, waits for its twin, deletes the object, and waits until the twin is gone.
async fn comes_and_goes<K>(cluster: &VirtualCluster, object: Value) -> anyhow::Result<Value>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + std::fmt::Debug
        + Serialize
        + DeserializeOwned
        + Send
        + 'static,
{
    let name = object["metadata"]["name"].as_str().context("no name")?;
    let name = name.to_owned();
    let twin = twin_of::<K>(cluster, object).await?;
    let objects: Api<K> = Api::default_namespaced(cluster.client());
    objects.delete(&name, &DeleteParams::default()).await?;
    let on_host: Api<K> = Api::namespaced(cluster.host_client(), cluster.namespace());
    gone(&on_host, &cluster.host_key("default", &name).name).await?;
    Ok(twin)
}

#[vcluster_test(distro = "k8s", sync = "sync.yaml")]
async fn what_is_asked_for_goes_to_the_host_and_speaks_of_the_tenant_only(
    cluster: VirtualCluster,
) -> anyhow::Result<()> {
    let backend = json!({"service": {"name": "web", "port": {"number": 80}}});
    let ingress = json!({"metadata": {"name": "web"}, "spec": {"defaultBackend": backend}});
    let policy = json!({"metadata": {"name": "deny"}, "spec": {"podSelector": {}}});
    let budget = json!({"metadata": {"name": "one"},
        "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "web"}}}});
    let (ingress, policy, budget) = tokio::try_join!(
        comes_and_goes::<Ingress>(&cluster, ingress),
        comes_and_goes::<NetworkPolicy>(&cluster, policy),
        comes_and_goes::<PodDisruptionBudget>(&cluster, budget),
    )?;
    let service = &ingress["spec"]["defaultBackend"]["service"]["name"];
    ensure!(*service == cluster.host_key("default", "web").name);
    for selector in [&policy["spec"]["podSelector"], &budget["spec"]["selector"]] {
        let matched = &selector["matchLabels"];
        ensure!(
            matched["vcluster.loft.sh/managed-by"] == cluster.name(),
            "the selector is {selector}"
        );
    }
    Ok(())
}

#[vcluster_test(distro = "k8s", sync = "sync.yaml")]
async fn a_pod_runs_with_the_class_and_the_account_of_the_tenant(
    cluster: VirtualCluster,
    client: Client,
) -> anyhow::Result<()> {
    let classes: Api<PriorityClass> = Api::all(client.clone());
    let class = json!({"metadata": {"name": "high"}, "value": 1000});
    classes
        .create(&PostParams::default(), &serde_json::from_value(class)?)
        .await?;
    let accounts: Api<ServiceAccount> = Api::default_namespaced(client.clone());
    let account = json!({"metadata": {"name": "builder"}});
    accounts
        .create(&PostParams::default(), &serde_json::from_value(account)?)
        .await?;
    let image = cluster.image(Component::Shell).await?;
    let mut pod = sleeper("web", &image);
    let spec = pod.spec.get_or_insert_default();
    spec.priority_class_name = Some("high".to_owned());
    spec.service_account_name = Some("builder".to_owned());
    start(&Api::default_namespaced(client.clone()), &pod).await?;

    let on_host: Api<Pod> = Api::namespaced(cluster.host_client(), cluster.namespace());
    let twin = on_host
        .get(&cluster.host_key("default", "web").name)
        .await?;
    let spec = twin.spec.context("no specification")?;
    ensure!(
        spec.priority == Some(1000),
        "of priority {:?}",
        spec.priority
    );
    let account = cluster.host_key("default", "builder").name;
    ensure!(spec.service_account_name == Some(account));

    // The host's classes are there as well.
    let names = |list: Vec<StorageClass>| -> Vec<_> {
        list.into_iter()
            .filter_map(|class| class.metadata.name)
            .collect()
    };
    let everything = ListParams::default();
    let theirs = Api::<StorageClass>::all(cluster.host_client());
    let theirs = names(theirs.list(&everything).await?.items);
    let shown = Api::<StorageClass>::all(client);
    let shown = names(shown.list(&everything).await?.items);
    ensure!(
        !theirs.is_empty() && theirs == shown,
        "the host has {theirs:?}, the tenant sees {shown:?}"
    );

    // A cluster-scoped object must not outlive the cluster.
    let class = spec.priority_class_name.context("no class on the host")?;
    let host_client = cluster.host_client();
    cluster.delete().await?;
    gone(&Api::<PriorityClass>::all(host_client), &class).await
}
