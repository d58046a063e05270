//! Hosts of a test's own: a name nobody else uses, one such test at a time, and nothing left behind.

use std::{collections::HashMap, fs::File, panic::AssertUnwindSafe, path::PathBuf};

use bollard::{
    models::{ContainerCreateBody, HostConfig},
    query_parameters::{
        CreateContainerOptionsBuilder, ListContainersOptionsBuilder, ListVolumesOptionsBuilder,
        RemoveContainerOptionsBuilder,
    },
};
use futures::FutureExt as _;
use vcluster_harness::{
    asset::Assets,
    engine::Engine,
    host::{
        self, HostCluster,
        kind::{self, KindOptions},
    },
    progress::Progress,
    settings::{HostChoice, Settings},
};

/// What a test needs to make hosts of its own.
pub(crate) struct OwnHost {
    pub(crate) engine: Engine,
    pub(crate) assets: Assets,
    pub(crate) settings: Settings,
    pub(crate) progress: Progress,
    /// The node image of the shared host's version.
    pub(crate) image: String,
    pub(crate) name: String,
}

const PREFIX: &str = "e2e-host-";

impl OwnHost {
    /// Options for a host of this name with one node.
    pub(crate) fn options(&self) -> KindOptions {
        KindOptions {
            name: self.name.clone(),
            image: self.image.clone(),
            ..KindOptions::default()
        }
    }

    /// The host that `settings` with this name give.
    pub(crate) async fn shared(&self) -> Result<HostCluster, host::Error> {
        host::shared(&self.settings, &self.assets, &self.progress).await
    }

    /// The ids of the host's containers: another id is another host.
    pub(crate) async fn container_ids(&self) -> anyhow::Result<Vec<String>> {
        let Some(cluster) = kind::find(&self.engine, &self.name).await? else {
            return Ok(Vec::new());
        };
        let mut ids = Vec::new();
        for container in &cluster.containers {
            let docker = self.engine.docker();
            let found = docker.inspect_container(&container.name, None).await?;
            ids.extend(found.id);
        }
        Ok(ids)
    }

    /// Starts a container of this name in the hosts' network that belongs to no host.
    pub(crate) async fn start_beside(&self, name: &str) -> anyhow::Result<()> {
        let body = ContainerCreateBody {
            image: Some(self.image.clone()),
            entrypoint: Some(["sleep", "infinity"].map(str::to_owned).to_vec()),
            host_config: Some(HostConfig {
                network_mode: Some("kind".to_owned()),
                ..HostConfig::default()
            }),
            ..ContainerCreateBody::default()
        };
        let options = CreateContainerOptionsBuilder::default().name(name).build();
        let docker = self.engine.docker();
        docker.create_container(Some(options), body).await?;
        docker.start_container(name, None).await?;
        Ok(())
    }

    /// The volumes that say they are of this host, whether it has them or not.
    pub(crate) async fn volumes_of_name(&self) -> anyhow::Result<Vec<String>> {
        let label = format!("io.x-k8s.kind.cluster={}", self.name);
        let filters = HashMap::from([("label", vec![label])]);
        let options = ListVolumesOptionsBuilder::default()
            .filters(&filters)
            .build();
        let listed = self.engine.docker().list_volumes(Some(options)).await?;
        let volumes = listed.volumes.into_iter().flatten();
        Ok(volumes.map(|volume| volume.name).collect())
    }

    /// The volumes of the host's containers.
    pub(crate) async fn volumes(&self) -> anyhow::Result<Vec<String>> {
        let mut volumes = Vec::new();
        for id in self.container_ids().await? {
            let found = self.engine.docker().inspect_container(&id, None).await?;
            let mounts = found.mounts.unwrap_or_default();
            volumes.extend(mounts.into_iter().filter_map(|mount| mount.name));
        }
        Ok(volumes)
    }
}

/// Runs `body` with a name of its own and deletes what has that name afterwards, whatever happened.
///
/// Hosts start slowly beside each other, so only one such test runs at a time, in whatever process.
pub(crate) async fn with_own_host(
    body: impl AsyncFnOnce(&OwnHost) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let settings = Settings::from_process()?;
    let _turn = turn(settings.cache.join("locks")).await?;
    let engine = Engine::connect().await?;
    delete_leftovers(&engine).await?;
    let name = format!("{PREFIX}{}", std::process::id());
    let settings = Settings {
        host: HostChoice::Kind(name.clone()),
        ..settings
    };
    let progress = Progress::lines();
    let assets = Assets::new(&settings, progress.clone());
    let version = assets.resolve(settings.host_version).await?;
    let own = OwnHost {
        image: assets.node_image(version).await?.reference,
        engine,
        assets,
        settings,
        progress,
        name,
    };
    let result = AssertUnwindSafe(body(&own)).catch_unwind().await;
    delete_leftovers(&own.engine).await?;
    delete_locks(&own.settings, &own.name)?;
    match result {
        Ok(result) => result,
        Err(panic) => std::panic::resume_unwind(panic),
    }
}

/// Nobody else has locks of this name.
pub(crate) fn delete_locks(settings: &Settings, host: &str) -> std::io::Result<()> {
    let prefix = format!("host-{host}.");
    for entry in std::fs::read_dir(settings.cache.join("locks"))? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default();
        if name.to_string_lossy().starts_with(&prefix) {
            std::fs::remove_file(&path)?;
        }
    }
    Ok(())
}

async fn turn(directory: PathBuf) -> anyhow::Result<File> {
    std::fs::create_dir_all(&directory)?;
    let file = File::create(directory.join("e2e-own-host.lock"))?;
    let held = tokio::task::spawn_blocking(move || file.lock().map(|()| file)).await??;
    Ok(held)
}

/// All that has a name of such tests. Only one process at a time has its turn, so nobody uses it.
async fn delete_leftovers(engine: &Engine) -> anyhow::Result<()> {
    for cluster in kind::list(engine).await? {
        if cluster.name.starts_with(PREFIX) {
            kind::delete(engine, &cluster.name).await?;
        }
    }
    let filters = HashMap::from([("name", vec![format!("^/{PREFIX}")])]);
    let all = ListContainersOptionsBuilder::default().all(true);
    let all = all.filters(&filters).build();
    let force = RemoveContainerOptionsBuilder::default().force(true).v(true);
    let force = force.build();
    for container in engine.docker().list_containers(Some(all)).await? {
        let id = container.id.unwrap_or_default();
        let removed = engine.docker().remove_container(&id, Some(force.clone()));
        removed.await?;
    }
    Ok(())
}
