//! Config maps, secrets and service-account tokens: on the host while a pod uses them, and no longer.

use anyhow::{Context as _, ensure};
use e2e::{gone, soon, start};
use k8s_openapi::api::{
    authentication::v1::{TokenReview, TokenReviewSpec},
    core::v1::{ConfigMap, Pod, Secret},
};
use kube::{
    Api, Client,
    api::{DeleteParams, ObjectMeta, Patch, PatchParams, PostParams},
};
use serde_json::json;
use vcluster_fixtures::pods::sleeper;
use vcluster_harness::{asset::Component, cluster::VirtualCluster, command, vcluster_test, wait};

fn config_map(name: &str, color: &str) -> ConfigMap {
    ConfigMap {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            ..ObjectMeta::default()
        },
        data: Some([("color".to_owned(), color.to_owned())].into()),
        ..ConfigMap::default()
    }
}

#[vcluster_test(distro = "k8s")]
async fn a_config_map_is_on_the_host_while_a_pod_uses_it(
    cluster: VirtualCluster,
    client: Client,
) -> anyhow::Result<()> {
    let image = cluster.image(Component::Shell).await?;
    let pods: Api<Pod> = Api::default_namespaced(client.clone());
    let maps: Api<ConfigMap> = Api::default_namespaced(client);
    let host: Api<ConfigMap> = Api::namespaced(cluster.host_client(), cluster.namespace());
    let host_name = cluster.host_key("default", "paint").name;
    maps.create(&PostParams::default(), &config_map("paint", "red"))
        .await?;
    maps.create(&PostParams::default(), &config_map("unused", "grey"))
        .await?;
    let mut pod = serde_json::to_value(sleeper("web", &image))?;
    pod["spec"]["containers"][0]["volumeMounts"] =
        json!([{"name": "paint", "mountPath": "/paint"}]);
    pod["spec"]["volumes"] = json!([{"name": "paint", "configMap": {"name": "paint"}}]);
    start(&pods, &serde_json::from_value(pod)?).await?;
    ensure!(command::output(&pods, "web", ["cat", "/paint/color"]).await? == "red");
    let unused = cluster.host_key("default", "unused").name;
    ensure!(host.get_opt(&unused).await?.is_none(), "unused, yet there");

    maps.patch(
        "paint",
        &PatchParams::default(),
        &Patch::Merge(json!({"data": {"color": "blue"}})),
    )
    .await?;
    let is_blue = |map: Option<&ConfigMap>| {
        map.and_then(|m| m.data.as_ref()?.get("color"))
            .is_some_and(|color| color == "blue")
    };
    wait::until(&host, &host_name, is_blue, soon("blue")).await?;

    pods.delete("web", &DeleteParams::default()).await?;
    gone(&pods, "web").await?;
    gone(&host, &host_name).await?;
    ensure!(
        maps.get_opt("paint").await?.is_some(),
        "the tenant's own went"
    );
    Ok(())
}

#[vcluster_test(distro = "k8s")]
async fn a_secret_reaches_the_environment_of_its_pod(
    cluster: VirtualCluster,
    client: Client,
) -> anyhow::Result<()> {
    let image = cluster.image(Component::Shell).await?;
    let secrets: Api<Secret> = Api::default_namespaced(client.clone());
    let secret = serde_json::from_value(
        json!({"metadata": {"name": "login"}, "stringData": {"password": "open sesame"}}),
    )?;
    secrets.create(&PostParams::default(), &secret).await?;
    let pods: Api<Pod> = Api::default_namespaced(client);
    let mut pod = serde_json::to_value(sleeper("web", &image))?;
    pod["spec"]["containers"][0]["env"] = json!([{"name": "PASSWORD",
        "valueFrom": {"secretKeyRef": {"name": "login", "key": "password"}}}]);
    start(&pods, &serde_json::from_value(pod)?).await?;

    let said = command::output(&pods, "web", ["sh", "-c", "echo $PASSWORD"]).await?;

    ensure!(said.trim() == "open sesame", "the pod said {said:?}");
    Ok(())
}

#[vcluster_test(distro = "k8s")]
async fn a_pods_token_is_of_the_virtual_cluster_and_bound_to_the_pod(
    cluster: VirtualCluster,
    client: Client,
) -> anyhow::Result<()> {
    let image = cluster.image(Component::Shell).await?;
    let pods: Api<Pod> = Api::default_namespaced(client.clone());
    start(&pods, &sleeper("web", &image)).await?;
    let directory = "/var/run/secrets/kubernetes.io/serviceaccount";
    let token = command::output(&pods, "web", ["cat", &format!("{directory}/token")]).await?;
    let namespace =
        command::output(&pods, "web", ["cat", &format!("{directory}/namespace")]).await?;
    let authority = command::output(&pods, "web", ["cat", &format!("{directory}/ca.crt")]).await?;
    ensure!(namespace == "default", "the namespace is {namespace:?}");
    ensure!(authority.starts_with("-----BEGIN CERTIFICATE-----"));

    let review = TokenReview {
        spec: TokenReviewSpec {
            token,
            audiences: None,
        },
        ..TokenReview::default()
    };
    let review = Api::<TokenReview>::all(client)
        .create(&PostParams::default(), &review)
        .await?;
    let user = review
        .status
        .and_then(|status| status.user)
        .context("the token is refused")?;
    ensure!(user.username.as_deref() == Some("system:serviceaccount:default:default"));
    let bound = user
        .extra
        .and_then(|mut extra| extra.remove("authentication.kubernetes.io/pod-name"));
    ensure!(bound == Some(vec!["web".to_owned()]), "bound to {bound:?}");
    Ok(())
}

#[vcluster_test(distro = "k8s")]
async fn a_pod_reaches_the_api_server_of_its_own_cluster(
    cluster: VirtualCluster,
    client: Client,
) -> anyhow::Result<()> {
    let image = cluster.image(Component::Shell).await?;
    let pods: Api<Pod> = Api::default_namespaced(client);
    start(&pods, &sleeper("web", &image)).await?;

    let knock =
        "nc -w 3 $KUBERNETES_SERVICE_HOST $KUBERNETES_SERVICE_PORT < /dev/null && echo open";
    let said = command::output(&pods, "web", ["sh", "-c", knock]).await?;

    ensure!(said.trim() == "open", "the pod said {said:?}");
    Ok(())
}
