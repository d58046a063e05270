//! The real kind command line: built from its source, and the clusters that it makes as hosts.

use std::{
    ffi::OsStr,
    fs::File,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, ensure};
use bollard::query_parameters::KillContainerOptionsBuilder;
use k8s_openapi::api::core::v1::{ConfigMap, Node};
use kube::{
    Api, Client, Config,
    api::{ListParams, ObjectMeta, PostParams},
    config::{KubeConfigOptions, Kubeconfig},
};
use vcluster_harness::{
    asset::{Image, Origin},
    host::{self, Error, HostCluster, OPT_IN, kind},
    settings::{HostChoice, Settings},
};

use crate::own_host::{OwnHost, with_own_host};

/// A recent release; its command line is the one that is proved to work with us.
const RELEASE: &str = "v0.33.0";

#[tokio::test]
async fn a_cluster_that_kind_made_is_adopted_and_never_replaced() -> anyhow::Result<()> {
    with_own_host(async |own| {
        let kind = KindCommand::installed(&own.settings).await?;
        let create = ["create", "cluster", "--name", &own.name];
        let image = ["--image", &own.image];
        kind.run(create.into_iter().chain(image)).await?;
        let ids = own.container_ids().await?;
        let found = kind::find(&own.engine, &own.name).await?;
        ensure!(found.is_some_and(|cluster| !cluster.is_ours));

        let host = own.shared().await?;
        assert_eq!(host.service_ranges().await?.to_string(), "10.96.0.0/16");
        let client = host.client().await?;
        let nodes = Api::<Node>::all(client.clone());
        assert_eq!(nodes.list(&ListParams::default()).await?.items.len(), 1);
        let more = host::shared_with_nodes(&own.settings, 2, &own.assets, &own.progress).await;
        let error = more.expect_err("it has one node");
        assert!(
            matches!(error, Error::TooFewNodes { found: 1, .. }),
            "{error:?}"
        );
        by_its_kubeconfig_it_has_to_opt_in(own, &host, &client).await?;

        // What we could not have made, we do not repair by replacing it.
        let now = KillContainerOptionsBuilder::default().build();
        let killed = own.engine.docker().kill_container(&ids[0], Some(now));
        killed.await?;
        own.shared().await?;
        assert_eq!(own.container_ids().await?, ids);
        Ok(())
    })
    .await
}

async fn by_its_kubeconfig_it_has_to_opt_in(
    own: &OwnHost,
    adopted: &HostCluster,
    client: &Client,
) -> anyhow::Result<()> {
    let file = tempfile::NamedTempFile::new()?;
    std::fs::write(file.path(), serde_json::to_string(adopted.kubeconfig())?)?;
    let open = async |context: Option<&str>| {
        let settings = Settings {
            host: HostChoice::Kubeconfig {
                path: file.path().to_owned(),
                context: context.map(str::to_owned),
            },
            ..own.settings.clone()
        };
        host::shared(&settings, &own.assets, &own.progress).await
    };
    let error = open(None).await.expect_err("it has not opted in");
    assert!(matches!(error, Error::NotOptedIn { .. }), "{error:?}");
    assert!(
        error.to_string().contains("kubectl --kubeconfig"),
        "{error}"
    );
    let error = open(Some("prod")).await.expect_err("no such context");
    assert!(error.to_string().contains("prod"), "{error}");

    let marker = ConfigMap {
        metadata: ObjectMeta {
            name: Some(OPT_IN.to_owned()),
            ..ObjectMeta::default()
        },
        ..ConfigMap::default()
    };
    let maps = Api::<ConfigMap>::namespaced(client.clone(), "kube-system");
    maps.create(&PostParams::default(), &marker).await?;
    let host = open(None).await?;
    assert_eq!(host.node_addresses(), adopted.node_addresses());
    assert_eq!(
        host.service_ranges().await?,
        adopted.service_ranges().await?
    );
    let local = Image {
        reference: "localhost/vcluster-test/nowhere:1".to_owned(),
        archive: None,
        origin: Origin::Cache,
    };
    let error = host.load(&[local]).await.expect_err("it cannot be loaded");
    assert!(matches!(error, Error::CannotLoad { .. }), "{error:?}");
    Ok(())
}

/// kind's command, which writes into kubeconfigs of ours alone.
pub(crate) struct KindCommand(PathBuf);

impl KindCommand {
    /// Built from source once and kept in the cache.
    pub(crate) async fn installed(settings: &Settings) -> anyhow::Result<Self> {
        let directory = settings.cache.join("e2e").join(format!("kind-{RELEASE}"));
        let locks = settings.cache.join("locks");
        let installed = tokio::task::spawn_blocking(move || install(&directory, &locks));
        Ok(Self(installed.await??))
    }

    /// What it prints when it is run with these arguments.
    pub(crate) async fn run(
        &self,
        arguments: impl IntoIterator<Item = impl AsRef<OsStr>>,
    ) -> anyhow::Result<String> {
        let directory = tempfile::tempdir()?;
        let output = tokio::process::Command::new(&self.0)
            .args(arguments)
            .env("KUBECONFIG", directory.path().join("config"))
            .kill_on_drop(true)
            .output()
            .await?;
        ensure!(
            output.status.success(),
            "kind failed: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(String::from_utf8(output.stdout)?)
    }

    /// A client by the kubeconfig that it exports.
    pub(crate) async fn client(&self, cluster: &str) -> anyhow::Result<Client> {
        let exported = self.run(["get", "kubeconfig", "--name", cluster]).await?;
        let config = Kubeconfig::from_yaml(&exported)?;
        assert_eq!(config.current_context, Some(format!("kind-{cluster}")));
        let options = KubeConfigOptions::default();
        let config = Config::from_custom_kubeconfig(config, &options).await?;
        Ok(Client::try_from(config)?)
    }
}

fn install(directory: &Path, locks: &Path) -> anyhow::Result<PathBuf> {
    std::fs::create_dir_all(locks)?;
    let lock = File::create(locks.join("e2e-kind.lock"))?;
    lock.lock()?;
    let command = directory.join("kind");
    if command.exists() {
        return Ok(command);
    }
    // Go writes into the directory bit by bit; the rename makes it whole at once.
    let work = directory.with_file_name(format!("kind-{RELEASE}.new"));
    let module = format!("sigs.k8s.io/kind@{RELEASE}");
    let output = std::process::Command::new("go")
        .args(["install", &module])
        .env("GOBIN", &work)
        .env("CGO_ENABLED", "0")
        .output()
        .context("Go is needed to build the kind command")?;
    ensure!(
        output.status.success(),
        "could not build kind: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    std::fs::rename(&work, directory)?;
    Ok(command)
}
