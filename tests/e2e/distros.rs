//! Every distro in every version. Registries alone have the images of k3s and k0s, so `runs_a_pod` is for
//! machines that reach one. What runs everywhere is the same test with a stand-in for the image: the
//! upstream programs behind a launcher that takes the command line, the configuration and the
//! certificates of the real ones, and refuses what they would refuse.

use std::{
    collections::BTreeMap, net::Ipv4Addr, os::unix::process::CommandExt as _, process::Command,
};

use anyhow::{Context as _, ensure};
use e2e::{output_of, start};
use k8s_openapi::{
    api::core::v1::{Pod, Service},
    jiff::Timestamp,
};
use kube::{Api, Client, api::PostParams};
use rstest::rstest;
use serde_json::json;
use tempfile::TempDir;
use vcluster_fixtures::pods::visitor;
use vcluster_harness::{
    asset::{Assets, Component, StandIn},
    cluster::VirtualCluster,
    command,
    pki::{Pki, ServerNames},
    progress::Progress,
    settings::Settings,
    vcluster_test,
    version::KubernetesVersion,
};

use crate::{
    child::{CLUSTER, Ended, Runner, announce},
    services::{server, service},
};

#[vcluster_test(matrix(
    distro = ["k8s", "k3s", "k0s"],
    version = ["1.31", "1.32", "1.33", "1.34", "1.35", "1.36"]
))]
#[ignore = "needs official images, which only registries have, for all but one cell"]
async fn runs_a_pod(cluster: VirtualCluster, client: Client) -> anyhow::Result<()> {
    announce(&cluster)?;
    let image = cluster.image(Component::Shell).await?;
    let pods: Api<Pod> = Api::default_namespaced(client.clone());
    let services: Api<Service> = Api::default_namespaced(client);
    let spec = json!({"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": 8080}]});
    let service = service("web", &spec)?;
    services.create(&PostParams::default(), &service).await?;
    start(&pods, &server("web", &image)?).await?;

    // What a pod said comes from its logs.
    let answer = output_of(&pods, &visitor("by-name", &image, "http://web.default.svc")).await?;
    ensure!(answer.trim() == "web", "the service answered {answer:?}");
    let host_name = command::output(&pods, "web", ["hostname"]).await?;
    ensure!(host_name.trim() == "web", "exec gave {host_name:?}");
    Ok(())
}

#[tokio::test]
async fn k3s_stand_in_runs_a_pod() -> anyhow::Result<()> {
    let ended = with_stand_ins("k3s", &["1.34.2"], "distros::runs_a_pod::k3s_1_34").await?;
    ran(&ended)
}

#[tokio::test]
async fn k0s_stand_in_runs_a_pod() -> anyhow::Result<()> {
    let ended = with_stand_ins("k0s", &["1.34.2"], "distros::runs_a_pod::k0s_1_34").await?;
    ran(&ended)
}

/// To k0s that is another command line.
#[rstest]
#[case::k3s("k3s")]
#[case::k0s("k0s")]
#[tokio::test]
async fn a_stand_in_is_upgraded(#[case] distro: &str) -> anyhow::Result<()> {
    goes_on(distro, "1.33.4", "1.34.2").await
}

#[rstest]
#[tokio::test]
#[ignore = "needs all versions, which take an hour to build where no registry has them"]
async fn a_stand_in_of_any_version_is_upgraded(
    #[values("k3s", "k0s")] distro: &str,
    #[values(
        ("1.31.4", "1.32.1"),
        ("1.32.1", "1.33.4"),
        ("1.34.2", "1.35.4"),
        ("1.35.4", "1.36.3")
    )]
    way: (&str, &str),
) -> anyhow::Result<()> {
    goes_on(distro, way.0, way.1).await
}

/// The cell says from where; the test goes one further, on the same data.
async fn goes_on(distro: &str, from: &str, to: &str) -> anyhow::Result<()> {
    let minor = from.parse::<KubernetesVersion>()?.minor_name();
    let cell = format!("{distro}_{}", minor.replace('.', "_"));
    let test = format!("versions::every_version_goes_to_the_next::{cell}");
    ran(&with_stand_ins(distro, &[from, to], &test).await?)
}

#[tokio::test]
async fn an_image_of_another_version_is_refused() -> anyhow::Result<()> {
    let directory = TempDir::new()?;
    let newer = stand_in("1.34.2").await?;
    newer.offer(directory.path(), "k3s-v1.33.4")?;
    let ended = with_assets(directory, "distros::runs_a_pod::k3s_1_33").await?;
    let words = "the API server says that it is v1.34.2, but Kubernetes 1.33.4 was asked for";
    ensure!(ended.output.contains(words), "{}", ended.output);
    ensure!(!ended.status.success());
    Ok(())
}

#[rstest]
#[case::k3s_flag(
    "k3s",
    "server --disable-agents",
    "flag provided but not defined: --disable-agents"
)]
#[case::k3s_agent("k3s", "server --data-dir=/data", "--disable-agent is missing")]
#[case::k3s_add_on(
    "k3s",
    "server --disable-agent --disable=dashboard",
    "unknown packaged component dashboard"
)]
#[case::k3s_egress(
    "k3s",
    "server --disable-agent --egress-selector-mode=off",
    "unknown egress-selector-mode off"
)]
#[case::k3s_range(
    "k3s",
    "server --disable-agent --service-cidr=10.96.17.0",
    "no range of addresses"
)]
#[case::k3s_authorities(
    "k3s",
    "server --disable-agent --disable-scheduler --data-dir=/nowhere",
    "an authority would be made anew"
)]
#[case::k3s_database(
    "k3s",
    "server --disable-agent --disable-scheduler --datastore-endpoint=oracle://db.test",
    "storage backend is not defined"
)]
#[case::k0s_component(
    "k0s",
    "controller --disable-components=konnectivity",
    "unknown component konnectivity"
)]
#[case::k0s_later_component(
    "k0s",
    "controller --disable-components=update-prober",
    "unknown component update-prober"
)]
#[case::k0s_konnectivity("k0s", "controller", "failed to stage konnectivity-server")]
#[case::k0s_worker("k0s", "controller --single", "a worker would be started")]
#[case::k0s_configuration(
    "k0s",
    "controller --disable-components=konnectivity-server,kube-scheduler --config=/nowhere",
    "open /nowhere: no such file"
)]
#[tokio::test]
async fn a_stand_in_refuses_what_the_real_one_would(
    #[case] distro: &str,
    #[case] arguments: &str,
    #[case] expected: &str,
) -> anyhow::Result<()> {
    // The older of the versions of which every machine has all parts.
    let program = stand_in("1.33.4").await?.program;
    let output = Command::new(program)
        .arg0(distro)
        .args(arguments.split_whitespace())
        .output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(
        said.starts_with(&format!("stand-in for {distro}: ")),
        "{said}"
    );
    ensure!(
        !output.status.success() && said.contains(expected),
        "{said}"
    );
    Ok(())
}

#[tokio::test]
async fn a_stand_in_reads_every_key_of_a_configuration() -> anyhow::Result<()> {
    let program = stand_in("1.34.2").await?.program;
    let directory = TempDir::new()?;
    let file = directory.path().join("k0s.yaml");
    let head = "apiVersion: k0s.k0sproject.io/v1beta1\nkind: ClusterConfig\nspec:\n";
    for (spec, expected) in [
        ("  api: {extraArg: {}}", "unknown field"),
        ("  api: {address: 0.0.0.0}", "invalid address"),
        ("  api: {extraArgs: {--v: '4'}}", "four dashes"),
        (
            "  network: {provider: none}",
            "unknown network provider none",
        ),
        ("  storage: {type: sqlite}", "unknown storage type sqlite"),
        (
            "  storage: {type: kine, kine: {dataSource: 'oracle://db.test'}}",
            "storage backend is not defined",
        ),
    ] {
        std::fs::write(&file, format!("{head}{spec}\n"))?;
        let output = Command::new(&program)
            .arg0("k0s")
            .arg("controller")
            .arg("--disable-components=konnectivity-server,kube-scheduler")
            .arg(format!("--config={}", file.display()))
            .output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(
            !output.status.success() && said.contains(expected),
            "{spec}: {said}"
        );
    }
    Ok(())
}

/// k3s signs tokens with the file that it verifies them with.
#[rstest]
#[case::signs_only(&["sa.key"], "does not contain any valid RSA or ECDSA public keys")]
#[case::verifies_too(&["sa.key", "sa.pub"], "could not write the kubeconfig")]
#[tokio::test]
async fn a_stand_in_wants_a_signing_key_that_verifies(
    #[case] key: &[&str],
    #[case] expected: &str,
) -> anyhow::Result<()> {
    let program = stand_in("1.34.2").await?.program;
    let directory = TempDir::new()?;
    let tls = directory.path().join("server/tls");
    std::fs::create_dir_all(tls.join("etcd"))?;
    let names = ServerNames {
        cluster: "web",
        namespace: "vc-web",
        domain: "cluster.local",
        service: Ipv4Addr::new(10, 96, 17, 1).into(),
        nodes: &[],
    };
    let pki = Pki::generate(names, Timestamp::now())?;
    let files: BTreeMap<_, _> = pki.files().collect();
    for (name, authority) in [
        ("server-ca", "ca"),
        ("client-ca", "ca"),
        ("etcd/server-ca", "ca"),
        ("etcd/peer-ca", "ca"),
        ("request-header-ca", "front-proxy-ca"),
    ] {
        for kind in ["crt", "key"] {
            let text = files[format!("{authority}.{kind}").as_str()];
            std::fs::write(tls.join(format!("{name}.{kind}")), text)?;
        }
    }
    let service: String = key.iter().map(|name| files[name]).collect();
    std::fs::write(tls.join("service.key"), service)?;
    let output = Command::new(program)
        .arg0("k3s")
        .args(["server", "--disable-agent", "--disable-scheduler"])
        .arg(format!("--data-dir={}", directory.path().display()))
        .arg("--write-kubeconfig=/nowhere/k3s.yaml")
        .output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(
        !output.status.success() && said.contains(expected),
        "{said}"
    );
    Ok(())
}

async fn stand_in(version: &str) -> anyhow::Result<StandIn> {
    let assets = Assets::new(&Settings::from_process()?, Progress::silent());
    Ok(assets.stand_in(version.parse()?).await?)
}

/// Runs a test whose user has put stand-ins where the images of these versions belong.
async fn with_stand_ins(distro: &str, versions: &[&str], test: &str) -> anyhow::Result<Ended> {
    let directory = TempDir::new()?;
    for version in versions {
        let stand_in = stand_in(version).await?;
        stand_in.offer(directory.path(), &format!("{distro}-v{version}"))?;
    }
    with_assets(directory, test).await
}

async fn with_assets(directory: TempDir, test: &str) -> anyhow::Result<Ended> {
    let assets = directory.path().to_str().context("a path in UTF-8")?;
    let environment = [
        ("VCLUSTER_TEST_ASSETS", assets),
        ("VCLUSTER_TEST_DISTROS", ""),
        ("VCLUSTER_TEST_VERSIONS", ""),
        ("VCLUSTER_TEST_SKIP", ""),
    ];
    let inner = Runner::CargoTest.start(test, &environment)?;
    // It waits for a process.
    Ok(tokio::task::spawn_blocking(|| inner.end()).await?)
}

fn ran(ended: &Ended) -> anyhow::Result<()> {
    let cluster = ended.word_after(CLUSTER);
    ensure!(
        ended.status.success() && cluster.is_some(),
        "{}",
        ended.output
    );
    Ok(())
}
