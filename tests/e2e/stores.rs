//! Where a control plane keeps its objects: what each store is good for, what becomes of the data when the
//! control plane's pod is lost, and what is said of a database that cannot be used.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use e2e::soon;
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use kube::{
    Api, Client, ResourceExt as _,
    api::{DeleteParams, ObjectMeta, PostParams},
};
use rstest::rstest;
use vcluster_harness as vcluster;
use vcluster_harness::{
    asset::{Assets, Component},
    cluster::{self, Cause, Step, VirtualCluster},
    command,
    datastore::Endpoint,
    progress::Progress,
    settings::Settings,
    vcluster_test, wait,
};

/// In memory, as with etcd: a pod that is lost takes all objects along, and a new cluster is in its place.
#[vcluster_test(store = "kine")]
async fn kine_serves_a_cluster_that_ends_with_its_pod(
    cluster: VirtualCluster,
    client: Client,
) -> anyhow::Result<()> {
    runs_a_pod(&cluster, client.clone(), "before").await?;
    remember(&client).await?;
    lose_pod(&cluster).await?;
    let maps: Api<ConfigMap> = Api::default_namespaced(client.clone());
    answered(async || Ok(maps.get_opt("memory").await?.is_none())).await?;
    runs_a_pod(&cluster, client, "after").await
}

#[rstest]
#[case::postgres("postgres://me:hush@127.0.0.1:1/web", "connect: connection refused")]
#[case::mysql("mysql://me:hush@127.0.0.1:1/web", "connect: connection refused")]
#[vcluster::test]
async fn a_database_that_nobody_serves_is_told_within_seconds(
    #[ignore] cluster: VirtualCluster,
    #[case] endpoint: &str,
    #[case] expected: &str,
) -> anyhow::Result<()> {
    let endpoint: Endpoint = endpoint.parse()?;
    let (error, elapsed) = refused(&cluster, endpoint.clone()).await?;
    let Cause::Database {
        address, message, ..
    } = &error.source
    else {
        anyhow::bail!("{error:?}");
    };
    ensure!(*address == endpoint.to_string(), "{address}");
    ensure!(message.contains(expected), "{message}");
    ensure!(!format!("{error:?}").contains("hush"), "{error:?}");
    // A container says so within ten seconds; on a busy machine it takes some to be started.
    ensure!(elapsed < Duration::from_secs(45), "{elapsed:?}");
    Ok(())
}

/// A start that fails for its database, and how long that took.
async fn refused(
    cluster: &VirtualCluster,
    endpoint: Endpoint,
) -> anyhow::Result<(cluster::Error, Duration)> {
    let name = format!("{}-refused", cluster.name());
    let started = Instant::now();
    let result = VirtualCluster::builder(&name)
        .owner(cluster.owner().clone())
        .store(endpoint)
        .start(cluster.host(), &assets()?)
        .await;
    let error = result.err().context("it started without its database")?;
    ensure!(error.step == Step::ControlPlane, "{error:?}");
    Ok((error, started.elapsed()))
}

fn assets() -> anyhow::Result<Assets> {
    Ok(Assets::new(&Settings::from_process()?, Progress::silent()))
}

async fn runs_a_pod(cluster: &VirtualCluster, client: Client, name: &str) -> anyhow::Result<()> {
    let image = cluster.image(Component::Shell).await?;
    let pods: Api<Pod> = Api::default_namespaced(client);
    let pod = vcluster_fixtures::pods::sleeper(name, &image);
    answered(async || {
        // The account that a pod needs may be a moment younger than the API server.
        let found = pods.get_opt(name).await?;
        Ok(found.is_some() || pods.create(&PostParams::default(), &pod).await.is_ok())
    })
    .await?;
    wait::until(&pods, name, wait::conditions::is_pod_ready(), soon("ready")).await?;
    let said = command::output(&pods, name, ["hostname"]).await?;
    ensure!(said.trim() == name, "exec gave {said:?}");
    Ok(())
}

async fn remember(client: &Client) -> anyhow::Result<()> {
    let map = ConfigMap {
        metadata: ObjectMeta {
            name: Some("memory".to_owned()),
            ..ObjectMeta::default()
        },
        ..ConfigMap::default()
    };
    let maps = Api::default_namespaced(client.clone());
    maps.create(&PostParams::default(), &map).await?;
    Ok(())
}

/// Ends the control plane's pod at once, and waits until there is another.
async fn lose_pod(cluster: &VirtualCluster) -> anyhow::Result<()> {
    let pods: Api<Pod> = Api::namespaced(cluster.host_client(), cluster.namespace());
    let name = format!("{}-0", cluster.name());
    let lost = pods.get(&name).await?.uid();
    pods.delete(&name, &DeleteParams::default().grace_period(0))
        .await?;
    let is_another = |pod: Option<&Pod>| pod.is_some_and(|pod| pod.uid() != lost);
    wait::until(&pods, &name, is_another, soon("another pod")).await?;
    wait::until(
        &pods,
        &name,
        wait::conditions::is_pod_ready(),
        soon("ready"),
    )
    .await?;
    Ok(())
}

/// Asks until the API server answers with yes. It may be away for a while.
async fn answered(ask: impl AsyncFn() -> anyhow::Result<bool>) -> anyhow::Result<()> {
    let deadline = soon("an answer");
    loop {
        let attempt = tokio::time::timeout(Duration::from_secs(5), ask()).await;
        let last_seen = match attempt {
            Ok(Ok(true)) => return Ok(()),
            Ok(Ok(false)) => "no".to_owned(),
            Ok(Err(error)) => format!("{error:#}"),
            Err(_) => "no answer".to_owned(),
        };
        ensure!(!deadline.is_over(), "last seen: {last_seen}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
