//! Where a control plane keeps its objects: what each store is good for, what becomes of the data when the
//! control plane's pod is lost, and what is said of a database that cannot be used.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context as _, ensure};
use e2e::{soon, start};
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use kube::{
    Api, Client, ResourceExt as _,
    api::{DeleteParams, ListParams, ObjectMeta, PostParams},
};
use rstest::rstest;
use serde_json::json;
use vcluster_harness as vcluster;
use vcluster_harness::{
    asset::{Assets, Component, DatabaseServer},
    cluster::{self, Cause, Step, VirtualCluster},
    command,
    datastore::{Datastore, Endpoint},
    distro::{Distro, K0s, K3s},
    progress::Progress,
    settings::Settings,
    vcluster_test, wait,
};

use crate::{services::server, stand_in::StandIn};

/// In memory, as with etcd: a pod that is lost takes all objects along, and a new cluster is in its place.
#[vcluster_test(store = "kine", fresh)]
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
#[case::postgres("postgres")]
#[case::mysql("mysql")]
#[vcluster::test]
async fn a_database_that_nobody_serves_is_the_cause(
    #[ignore] cluster: VirtualCluster,
    #[case] scheme: &str,
) -> anyhow::Result<()> {
    let endpoint = nobody(&cluster, scheme)?;
    cannot_be_used(&cluster, &endpoint, "connect: connection refused").await
}

/// It takes connections and says nothing, like one that hangs.
#[vcluster_test]
async fn a_database_that_does_not_answer_is_the_cause(
    cluster: VirtualCluster,
    client: Client,
) -> anyhow::Result<()> {
    let image = cluster.image(Component::Shell).await?;
    let pods: Api<Pod> = Api::default_namespaced(client);
    let silent = start(&pods, &server("silent", &image)?).await?;
    let address = silent.status.and_then(|status| status.pod_ip);
    let address = address.context("a pod that is ready has an address")?;
    let endpoint = format!("postgres://me:hush@{address}:8080/web");
    cannot_be_used(&cluster, &endpoint, "timeout").await
}

/// The node's own address, where pods of the host get an answer at once: that nobody is there.
fn nobody(cluster: &VirtualCluster, scheme: &str) -> anyhow::Result<String> {
    let nodes = cluster.host().node_addresses();
    let node = nodes.first().context("a host has a node")?;
    let address = SocketAddr::new(*node, 1);
    Ok(format!("{scheme}://me:hush@{address}/web"))
}

async fn cannot_be_used(
    cluster: &VirtualCluster,
    endpoint: &str,
    expected: &str,
) -> anyhow::Result<()> {
    let endpoint: Endpoint = endpoint.parse()?;
    let error = refused(cluster, endpoint.clone()).await?;
    let Cause::Database {
        address, message, ..
    } = &error.source
    else {
        anyhow::bail!("{error:?}");
    };
    ensure!(*address == endpoint.to_string(), "{address}");
    ensure!(message.contains(expected), "{message}");
    ensure!(!format!("{error:?}").contains("hush"), "{error:?}");
    Ok(())
}

/// k3s says it in its own log, and k0s quotes its kine.
#[rstest]
#[case::k3s(&K3s)]
#[case::k0s(&K0s)]
#[vcluster::test]
async fn a_stand_in_names_a_database_that_nobody_serves(
    #[ignore] cluster: VirtualCluster,
    #[case] distro: &'static dyn Distro,
) -> anyhow::Result<()> {
    let endpoint = nobody(&cluster, "postgres")?.parse::<Endpoint>()?;
    let started = stand_in(&cluster, distro, endpoint).await;
    let error = started.err().context("it started without its database")?;
    let words = format!("{error:#}");
    let said = format!("cannot be used; container {} said: ", distro.name());
    ensure!(
        words.contains(&said) && words.contains("connect: connection refused"),
        "{words}"
    );
    Ok(())
}

/// What a tenant wrote is in the database, so another pod goes on where the lost one ended.
#[rstest]
#[case::postgresql(&POSTGRESQL)]
#[case::mariadb(&MARIADB)]
#[vcluster::test(timeout = "8m")]
async fn a_database_outlives_the_control_planes_pod(
    #[ignore] cluster: VirtualCluster,
    #[ignore] client: Client,
    #[case] database: &Database,
) -> anyhow::Result<()> {
    let address = database.start(&cluster, client).await?;
    let wrong = database.endpoint(&address, "wrong")?;
    let error = refused(&cluster, wrong).await?;
    let Cause::Database { message, .. } = &error.source else {
        anyhow::bail!("{error:?}");
    };
    ensure!(message.contains(database.refusal), "{message}");

    let kept = VirtualCluster::builder(&format!("{}-kept", cluster.name()))
        .owner(cluster.owner().clone())
        .store(database.endpoint(&address, PASSWORD)?)
        .start(cluster.host(), &assets()?)
        .await?;
    runs_a_pod(&kept, kept.client(), "before").await?;
    remember(&kept.client()).await?;
    let on_host: Api<Pod> = Api::namespaced(kept.host_client(), kept.namespace());
    let twin = kept.host_key("default", "before").name;
    let uid = on_host.get(&twin).await?.uid();
    shows_no_password(&on_host).await?;

    lose_pod(&kept).await?;
    let maps: Api<ConfigMap> = Api::default_namespaced(kept.client());
    answered(async || Ok(maps.get_opt("memory").await?.is_some())).await?;
    runs_a_pod(&kept, kept.client(), "after").await?;
    runs_a_pod(&kept, kept.client(), "before").await?;
    ensure!(
        on_host.get(&twin).await?.uid() == uid,
        "the pod was made anew"
    );
    kept.delete().await?;
    Ok(())
}

/// The same of k3s and k0s, with what stands in for them. What it would cost every run is what it shows of the
/// same kine that k8s has.
#[rstest]
#[case::k3s_on_postgresql(&K3s, &POSTGRESQL)]
#[case::k0s_on_postgresql(&K0s, &POSTGRESQL)]
#[case::k3s_on_mariadb(&K3s, &MARIADB)]
#[case::k0s_on_mariadb(&K0s, &MARIADB)]
#[vcluster::test(timeout = "8m")]
#[ignore = "takes a minute for each case, and is run when a distro or kine changes"]
async fn a_stand_in_outlives_its_pod_in_a_database(
    #[ignore] cluster: VirtualCluster,
    #[ignore] client: Client,
    #[case] distro: &'static dyn Distro,
    #[case] database: &Database,
) -> anyhow::Result<()> {
    let address = database.start(&cluster, client).await?;
    let wrong = stand_in(&cluster, distro, database.endpoint(&address, "wrong")?).await;
    let error = wrong.err().context("it started without its database")?;
    let words = format!("{error:#}");
    ensure!(words.contains(database.refusal), "{words}");

    let endpoint = database.endpoint(&address, PASSWORD)?;
    let kept = stand_in(&cluster, distro, endpoint).await?;
    runs_a_pod(&kept, kept.client(), "before").await?;
    remember(&kept.client()).await?;
    let on_host: Api<Pod> = Api::namespaced(kept.host_client(), kept.namespace());
    shows_no_password(&on_host).await?;
    lose_pod(&kept).await?;
    let maps: Api<ConfigMap> = Api::default_namespaced(kept.client());
    answered(async || Ok(maps.get_opt("memory").await?.is_some())).await?;
    runs_a_pod(&kept, kept.client(), "after").await?;
    kept.delete().await?;
    Ok(())
}

#[rstest]
#[case::k3s(&K3s)]
#[case::k0s(&K0s)]
#[vcluster::test(timeout = "8m")]
#[ignore = "takes a minute for each case, and is run when a distro changes"]
async fn a_stand_in_runs_etcd_of_its_own(
    #[ignore] cluster: VirtualCluster,
    #[case] distro: &'static dyn Distro,
) -> anyhow::Result<()> {
    let own = stand_in(&cluster, distro, Datastore::Etcd).await?;
    runs_a_pod(&own, own.client(), "web").await?;
    own.delete().await?;
    Ok(())
}

/// A cluster beside the one that a test was given, of what stands in for a distro.
async fn stand_in(
    cluster: &VirtualCluster,
    distro: &'static dyn Distro,
    store: impl Into<Datastore>,
) -> anyhow::Result<VirtualCluster> {
    let version = cluster.version().context("no version")?;
    let stand_in = StandIn::of(distro, version).await?;
    let started = VirtualCluster::builder(&format!("{}-{}", cluster.name(), distro.name()))
        .owner(cluster.owner().clone())
        .distro(distro)
        .store(store)
        .start(cluster.host(), &stand_in.assets)
        .await?;
    Ok(started)
}

async fn shows_no_password(on_host: &Api<Pod>) -> anyhow::Result<()> {
    for pod in on_host.list(&ListParams::default()).await? {
        let pod = serde_json::to_string(&pod)?;
        ensure!(!pod.contains("hush"), "{pod}");
    }
    Ok(())
}

/// A database server of this project's tests, as a pod of the cluster that a test was given.
struct Database {
    server: DatabaseServer,
    user: &'static str,
    port: u16,
    scheme: &'static str,
    /// What it says to who has a wrong password.
    refusal: &'static str,
}

const POSTGRESQL: Database = Database {
    server: DatabaseServer::Postgresql,
    user: "postgres",
    port: 5432,
    scheme: "postgres",
    refusal: "password authentication failed for user \"postgres\"",
};

/// Debian has no `MySQL`.
const MARIADB: Database = Database {
    server: DatabaseServer::Mariadb,
    user: "root",
    port: 3306,
    scheme: "mysql",
    refusal: "Access denied for user 'root'",
};

/// Every sign of it but the letters means something in an endpoint.
const PASSWORD: &str = "hush@:/?";

impl Database {
    /// Starts it and gives its address, which is the same on the host.
    async fn start(&self, cluster: &VirtualCluster, client: Client) -> anyhow::Result<String> {
        let image = assets()?.database_server(self.server).await?;
        cluster.host().load(std::slice::from_ref(&image)).await?;
        let pod = serde_json::from_value(json!({
            "metadata": {"name": "database"},
            "spec": {
                "automountServiceAccountToken": false,
                "securityContext": {"runAsUser": 65532, "runAsGroup": 65532, "runAsNonRoot": true},
                "containers": [{
                    "name": "server",
                    "image": image.reference,
                    "env": [{"name": "PASSWORD", "value": PASSWORD}],
                    "volumeMounts": [{"name": "data", "mountPath": "/data"}],
                    "readinessProbe": {"tcpSocket": {"port": self.port}, "periodSeconds": 1},
                }],
                "volumes": [{"name": "data", "emptyDir": {}}],
            },
        }))?;
        let pod = start(&Api::default_namespaced(client), &pod).await?;
        let address = pod.status.and_then(|status| status.pod_ip);
        address.context("a pod that is ready has an address")
    }

    fn endpoint(&self, address: &str, password: &str) -> anyhow::Result<Endpoint> {
        let encoded = |text: String, byte| format!("{text}%{byte:02X}");
        let password = password.bytes().fold(String::new(), encoded);
        let Self {
            scheme, user, port, ..
        } = self;
        Ok(format!("{scheme}://{user}:{password}@{address}:{port}").parse()?)
    }
}

/// A start that fails for its database.
async fn refused(cluster: &VirtualCluster, endpoint: Endpoint) -> anyhow::Result<cluster::Error> {
    let name = format!("{}-refused", cluster.name());
    let result = VirtualCluster::builder(&name)
        .owner(cluster.owner().clone())
        .store(endpoint)
        .start(cluster.host(), &assets()?)
        .await;
    let error = result.err().context("it started without its database")?;
    ensure!(error.step == Step::ControlPlane, "{error:?}");
    Ok(error)
}

fn assets() -> anyhow::Result<Assets> {
    Ok(Assets::new(&Settings::from_process()?, Progress::silent()))
}

pub(crate) async fn runs_a_pod(
    cluster: &VirtualCluster,
    client: Client,
    name: &str,
) -> anyhow::Result<()> {
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
    answered(async || {
        let said = command::output(&pods, name, ["hostname"]).await?;
        ensure!(said.trim() == name, "exec gave {said:?}");
        Ok(true)
    })
    .await
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
pub(crate) async fn answered(ask: impl AsyncFn() -> anyhow::Result<bool>) -> anyhow::Result<()> {
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
