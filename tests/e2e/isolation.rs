//! Two clusters on one host know nothing of each other.

use anyhow::ensure;
use e2e::start;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Pod};
use kube::{Api, api::ListParams};
use vcluster_fixtures::pods::{shell, sleeper};
use vcluster_harness::{asset::Component, cluster::VirtualCluster, command, vcluster_test};

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
