//! What a virtual cluster is to be.

use std::time::Duration;

use futures::future::try_join_all;
use ipnet::IpNet;
use tracing::{Instrument as _, info, info_span, warn};
use vcluster_syncer::config::Sync;

use super::{
    VirtualCluster, delete,
    error::{Error, Failure, Step},
    launch::Launch,
    names::Names,
    objects::Images,
    phases::{Phase, Phases},
    virtual_cluster::Origin,
};
use crate::{
    asset::{self, Assets, Component},
    deadline::Deadline,
    distro::{self, ControlPlane, ControlPlaneContext, Distro, Scheduling},
    host::HostCluster,
    live::{self, Live, Registration},
    owner::Owner,
    slice,
    version::{KubernetesVersion, VersionRequest},
};

/// The least and the usual time that a start may take once its images are there.
const DEFAULT_TIMEOUT: Duration = Duration::from_mins(3);
/// How long the undoing of a failed start may hold up its error.
const UNDO: Duration = Duration::from_secs(10);

/// What a virtual cluster is to be. Made by [`VirtualCluster::builder`].
#[derive(Debug, Clone)]
#[must_use = "a cluster is started by `start`"]
pub struct VirtualClusterBuilder {
    pub(super) name: String,
    pub(super) namespace: String,
    pub(super) distro: &'static dyn Distro,
    pub(super) version: Option<VersionRequest>,
    pub(super) scheduling: Scheduling,
    pub(super) sync: Sync,
    pub(super) domain: String,
    pub(super) slice_bits: u8,
    pub(super) owner: Owner,
    pub(super) timeout: Duration,
    pub(super) on_failure: OnFailure,
}

/// What becomes of a cluster that could not be started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnFailure {
    /// It is deleted.
    #[default]
    Undo,
    /// It stays, for somebody to look at and to delete.
    Leave,
}

impl VirtualClusterBuilder {
    pub(super) fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            namespace: name.to_owned(),
            distro: distro::DEFAULT,
            version: None,
            scheduling: Scheduling::default(),
            sync: Sync::default(),
            domain: "cluster.local".to_owned(),
            slice_bits: slice::DEFAULT_BITS,
            owner: Owner::standing(),
            timeout: DEFAULT_TIMEOUT,
            on_failure: OnFailure::default(),
        }
    }

    /// Its namespace on the host; called like the cluster unless said otherwise.
    pub fn namespace(mut self, namespace: &str) -> Self {
        namespace.clone_into(&mut self.namespace);
        self
    }

    /// Its distro, as [`distro::find`] finds it.
    pub fn distro(mut self, distro: &'static dyn Distro) -> Self {
        self.distro = distro;
        self
    }

    /// Its Kubernetes version; the distro's default unless said otherwise.
    pub fn version(mut self, version: VersionRequest) -> Self {
        self.version = Some(version);
        self
    }

    /// Who binds its pods to nodes.
    pub fn scheduling(mut self, scheduling: Scheduling) -> Self {
        self.scheduling = scheduling;
        self
    }

    /// What is synced.
    pub fn sync(mut self, sync: Sync) -> Self {
        self.sync = sync;
        self
    }

    /// The DNS domain inside it, `cluster.local` unless said otherwise.
    pub fn domain(mut self, domain: &str) -> Self {
        domain.clone_into(&mut self.domain);
        self
    }

    /// How many bits of service addresses it owns: 8, for 256 addresses, unless said otherwise.
    pub fn slice_bits(mut self, bits: u8) -> Self {
        self.slice_bits = bits;
        self
    }

    /// Whom it belongs to; nobody in particular unless said otherwise, and then it stays until it is
    /// deleted.
    pub fn owner(mut self, owner: Owner) -> Self {
        self.owner = owner;
        self
    }

    /// How long the start may take, counted from when the images are on the host.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// What becomes of it when it cannot be started.
    pub fn on_failure(mut self, on_failure: OnFailure) -> Self {
        self.on_failure = on_failure;
        self
    }

    /// Starts it and returns when pods can be created in it.
    ///
    /// When this future is dropped half-way, what was made stays and is found by its owner's reaper.
    ///
    /// # Errors
    /// Says which step failed, after how long, what was last seen, and why.
    pub async fn start(self, host: &HostCluster, assets: &Assets) -> Result<VirtualCluster, Error> {
        let span = info_span!("start", cluster = self.name, host = host.name());
        async {
            let mut phases = Phases::start();
            let steps = Box::pin(self.start_in_steps(host, assets, &mut phases));
            let started = steps.await;
            let elapsed = phases.elapsed();
            match &started {
                Ok(_) => info!(?elapsed, "ready"),
                Err(failure) => warn!(step = %failure.step, ?elapsed, "not started"),
            }
            started.map_err(|failure| Error {
                cluster: self.name.clone(),
                step: failure.step,
                elapsed,
                source: failure.cause,
            })
        }
        .instrument(span)
        .await
    }

    async fn start_in_steps(
        &self,
        host: &HostCluster,
        assets: &Assets,
        phases: &mut Phases,
    ) -> Result<VirtualCluster, Failure> {
        let names =
            Names::new(&self.name, &self.namespace).map_err(Failure::at(Step::Namespace))?;
        let request = self
            .version
            .unwrap_or_else(|| self.distro.default_version());
        let version = assets
            .resolve(request)
            .await
            .map_err(Failure::at(Step::Images))?;
        let range = host
            .service_range()
            .await
            .map_err(Failure::at(Step::Host))?;
        let containers = self.describe(version, range).containers;
        let components = containers.iter().map(|container| container.image);
        let images = images(components, version, host, assets).await?;
        phases.pass(Phase::Images);

        let launch = Launch {
            options: self,
            names: &names,
            version,
            images: &images,
            range,
            host,
            client: host.client().await.map_err(Failure::at(Step::Host))?,
            deadline: Deadline::after("virtual cluster", self.timeout),
        };
        let registration = self.register(host);
        let filled = async {
            let namespace = launch.namespace().await?;
            phases.pass(Phase::Namespace);
            let filled = launch.fill(&namespace, phases).await;
            if filled.is_err() && self.on_failure == OnFailure::Undo {
                undo(&launch).await;
            }
            filled
        };
        match filled.await {
            Ok(connection) => Ok(VirtualCluster::new(
                Origin {
                    names,
                    distro: Some(self.distro.name().to_owned()),
                    version: Some(version),
                    host: host.clone(),
                    host_config: host.config().await.map_err(Failure::at(Step::Host))?,
                    assets: Some(assets.clone()),
                    phases: phases.clone(),
                },
                connection,
                registration,
            )),
            Err(failure) => {
                if let Some(registration) = registration {
                    registration.deleted();
                }
                Err(failure)
            }
        }
    }

    pub(super) fn describe(&self, version: KubernetesVersion, range: IpNet) -> ControlPlane {
        let cx = ControlPlaneContext {
            service_range: range,
            domain: &self.domain,
            scheduling: self.scheduling,
        };
        self.distro.control_plane(version, &cx)
    }

    /// Only a cluster that ends with a process is that process's business when a signal comes.
    fn register(&self, host: &HostCluster) -> Option<Registration> {
        self.owner.process.as_ref()?;
        Some(live::register(Live {
            name: self.name.clone(),
            namespace: self.namespace.clone(),
            host: std::sync::Arc::new(host.kubeconfig().clone()),
        }))
    }
}

/// Brings all images to the host. `CoreDNS` is one of them: it runs there as the tenant's pod.
async fn images(
    components: impl Iterator<Item = Component>,
    version: KubernetesVersion,
    host: &HostCluster,
    assets: &Assets,
) -> Result<Images, Failure> {
    let components = components.chain([Component::Syncer, Component::Coredns]);
    let images = try_join_all(components.map(async |component| {
        let image = assets.image(component, version).await?;
        Ok::<_, asset::Error>((component, image))
    }));
    let images = images.await.map_err(Failure::at(Step::Images))?;
    let (components, images): (Vec<_>, Vec<_>) = images.into_iter().unzip();
    host.load(&images)
        .await
        .map_err(Failure::at(Step::Images))?;
    let references = images.into_iter().map(|image| image.reference);
    Ok(components.into_iter().zip(references).collect())
}

async fn undo(launch: &Launch<'_>) {
    let namespace = launch.names.namespace();
    let undone = tokio::time::timeout(UNDO, delete(&launch.client, namespace)).await;
    match undone {
        Ok(Ok(())) => info!(namespace, "undone"),
        Ok(Err(error)) => {
            warn!(
                namespace,
                error = &error as &dyn std::error::Error,
                "not undone"
            );
        }
        Err(_) => warn!(namespace, "not undone: the host does not answer"),
    }
}
