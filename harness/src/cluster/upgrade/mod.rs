//! A running cluster taken to another Kubernetes version, on the same data: the programs in its pod are
//! exchanged one after the other, and everything else stays where it is.

mod error;
mod exchange;
mod route;

use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::Pod;
use kube::Client;
use tracing::info;

pub use error::UpgradeError;
pub use route::Refusal;

use self::{
    exchange::{Exchange, Program, name_of},
    route::Route,
};
use super::{
    VirtualCluster,
    control_plane::{
        Watch, account_exists, api_ready, check_version, check_version_at, syncers_ready,
    },
    error::{Cause, Failure, Step},
    known::images,
    objects,
    phases::Phases,
    request::{Requests, within},
    sightings::Sightings,
    virtual_cluster::Started,
};
use crate::{
    asset::Assets,
    deadline::Deadline,
    distro::ControlPlane,
    version::{KubernetesVersion, VersionRequest},
};

/// How long the upgrade of a pod may take once its images are on this machine, also on a busy one.
const UPGRADE: Duration = Duration::from_mins(3);

/// How an upgrade went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Upgrade {
    /// The version before.
    pub from: KubernetesVersion,
    /// The version after; the same when there was nothing to do.
    pub to: KubernetesVersion,
    /// How long it took.
    pub took: Duration,
}

/// An upgrade under way.
struct Climb<'a> {
    cluster: &'a VirtualCluster,
    to: KubernetesVersion,
    control_plane: &'a ControlPlane,
    assets: &'a Assets,
}

impl VirtualCluster {
    /// Takes it to another Kubernetes version while it runs: `"1.35"`, a [`VersionRequest`] or a
    /// [`KubernetesVersion`]. Its objects, its pods, its address and its credentials stay; its API server is
    /// away for some seconds, so watches end and requests may have to be repeated; of several API servers one
    /// at a time is away. The upgrade of a cluster that has the version already does nothing, and one that
    /// failed half-way may be asked for again.
    ///
    /// A state that was saved before is of the older version; save it again before the next reset.
    ///
    /// ```no_run
    /// # async fn example(cluster: vcluster_harness::cluster::VirtualCluster) -> anyhow::Result<()> {
    /// cluster.upgrade("1.35").await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// The version is older, more than one minor newer, or cannot be had; or a step fails, and the error
    /// says which and why.
    pub async fn upgrade<V>(&self, version: V) -> Result<Upgrade, UpgradeError>
    where
        V: TryInto<VersionRequest>,
        UpgradeError: From<V::Error>,
    {
        let request = version.try_into()?;
        Box::pin(self.upgrade_to(request)).await
    }

    async fn upgrade_to(&self, request: VersionRequest) -> Result<Upgrade, UpgradeError> {
        let called = Instant::now();
        let (Some(started), Some(from)) = (self.started(), self.version()) else {
            return Err(UpgradeError::OnlyConnected {
                cluster: self.name().to_owned(),
            });
        };
        let Started {
            options,
            ranges,
            assets,
        } = started;
        let to = assets.resolve(request).await?;
        let refuse = |reason| UpgradeError::Refused {
            cluster: self.name().to_owned(),
            from,
            to,
            reason,
            nearest: route::next(from, assets.catalogue()).filter(|nearest| *nearest != to),
        };
        if route::between(from, to).map_err(refuse)? == Route::Up {
            let before = options.describe(from, *ranges, &[]);
            let control_plane = &options.describe(to, *ranges, &[]);
            route::compare(&before, control_plane).map_err(refuse)?;
            let climb = Climb {
                cluster: self,
                to,
                control_plane,
                assets,
            };
            self.not_for_others("its test upgraded it");
            let climbed = Box::pin(climb.run()).await;
            climbed.map_err(|failure| UpgradeError::Failed {
                cluster: self.name().to_owned(),
                from,
                to,
                step: failure.step,
                elapsed: called.elapsed(),
                source: Box::new(failure.cause),
            })?;
        }
        let took = called.elapsed();
        info!(cluster = self.name(), step = "upgrade", elapsed = ?took, %from, %to, "upgraded");
        Ok(Upgrade { from, to, took })
    }
}

impl Climb<'_> {
    async fn run(&self) -> Result<(), Failure> {
        let programs = self.programs().await?;
        let replicas = self.control_plane.replicas;
        let deadline = Deadline::after("an upgrade", UPGRADE * replicas.into());
        let host = self.cluster.on_host();
        let exchange = Exchange::new(&host, self.cluster.names());
        let announced = within(deadline, exchange.announce(&programs)).await;
        announced.map_err(Failure::at(Step::Objects))?;
        for (index, program) in programs.iter().enumerate() {
            for pod in self.cluster.names().replicas(replicas).names() {
                let exchanged = self.exchange(&exchange, &pod, program, deadline).await;
                exchanged.map_err(Failure::at(Step::ControlPlane))?;
            }
            // It comes first in every distro: no program may be newer than the API server.
            if index == 0 {
                let back = self.api_is_back(&exchange, program, deadline).await;
                back.map_err(Failure::at(Step::ControlPlane))?;
            }
        }
        self.is_at_work(&exchange, deadline).await?;
        let recorded = within(deadline, self.record(&host)).await;
        recorded.map_err(Failure::at(Step::Objects))
    }

    /// What is exchanged, with its images, which are on the host afterwards.
    async fn programs(&self) -> Result<Vec<Program>, Failure> {
        let containers = self.control_plane.containers.iter();
        let programs: Vec<_> = containers
            .filter(|container| container.image.is_kubernetes())
            .collect();
        let components = programs.iter().map(|container| container.image);
        let (references, archives) = images(components, self.to, self.assets).await?;
        let loaded = self.cluster.host().load(&archives).await;
        loaded.map_err(Failure::at(Step::Images))?;
        let programs = programs.into_iter().filter_map(|container| {
            let image = references.get(&container.image)?.clone();
            Some(Program::of(container, image, self.control_plane))
        });
        Ok(programs.collect())
    }

    async fn exchange(
        &self,
        exchange: &Exchange<'_>,
        pod: &str,
        program: &Program,
        deadline: Deadline,
    ) -> Result<(), Cause> {
        let mut pods = within(deadline, exchange.pods()).await?;
        if self.control_plane.is_several() {
            let seen = Sightings::default();
            let ready = exchange.all_ready(self.control_plane.replicas, &seen);
            self.watch(&pods, &seen, deadline, "all pods", ready)
                .await?;
            pods = within(deadline, exchange.pods()).await?;
        }
        // One that was lost in this moment comes back as what was announced.
        let Some(pod) = pods.iter().find(|found| name_of(found) == pod) else {
            return Ok(());
        };
        if program.is_in(pod) {
            return Ok(());
        }
        within(deadline, exchange.tell(program)).await?;
        within(deadline, exchange.patch(pod, program)).await?;
        let seen = Sightings::default();
        let restarted = exchange.restarted(pod, program.container, &seen);
        self.watch(&pods, &seen, deadline, "the new program", restarted)
            .await
    }

    /// Waits for the new API server, and makes sure that it is the new one; of several, that all are.
    async fn api_is_back(
        &self,
        exchange: &Exchange<'_>,
        program: &Program,
        deadline: Deadline,
    ) -> Result<(), Cause> {
        let pods = within(deadline, exchange.pods()).await?;
        let client = self.cluster.impatient_client()?;
        let seen = Sightings::default();
        let ready = api_ready(&client, self.control_plane.ready_path, &seen);
        self.watch(&pods, &seen, deadline, "the API server", ready)
            .await?;
        let images = || program.image.clone();
        within(deadline, check_version(&client, self.to, images)).await?;
        if self.control_plane.is_several() {
            let host = self.cluster.on_host();
            let namespace = self.cluster.namespace();
            for pod in &pods {
                let path = format!(
                    "/api/v1/namespaces/{namespace}/pods/https:{}:{}/proxy/version",
                    name_of(pod),
                    self.control_plane.api_port
                );
                let check = check_version_at(&host, &path, self.to, images);
                within(deadline, check).await?;
            }
        }
        Ok(())
    }

    /// Waits until objects can be made again and the syncer sees them.
    async fn is_at_work(&self, exchange: &Exchange<'_>, deadline: Deadline) -> Result<(), Failure> {
        let seen = Sightings::default();
        let pods = within(deadline, exchange.pods()).await;
        let pods = pods.map_err(Failure::at(Step::Account))?;
        let client = self.cluster.impatient_client();
        let client = client.map_err(Failure::at(Step::Account))?;
        let account = account_exists(&client, &seen);
        self.watch(
            &pods,
            &seen,
            deadline,
            "the default service account",
            account,
        )
        .await
        .map_err(Failure::at(Step::Account))?;
        let host = self.cluster.on_host();
        let replicas = self.control_plane.replicas;
        let syncer = syncers_ready(&host, self.cluster.names(), replicas, &seen);
        self.watch(&pods, &seen, deadline, "the syncer", syncer)
            .await
            .map_err(Failure::at(Step::Syncer))
    }

    /// Awaits `future` unless a container fails first. What happened to those of `pods` is over: each may
    /// have had a restart of its own when the cluster started, and has one for every upgrade.
    async fn watch(
        &self,
        pods: &[Pod],
        seen: &Sightings,
        deadline: Deadline,
        awaited: &'static str,
        future: impl Future<Output = ()>,
    ) -> Result<(), Cause> {
        let host = self.cluster.on_host();
        let database = self.control_plane.database.as_ref();
        let watch = Watch::start(host, self.cluster.names(), database, seen.clone());
        let mut watch = watch.after(pods);
        let deadline = deadline.step(awaited, deadline.limit());
        watch.until(deadline, &mut Phases::start(), future).await
    }

    async fn record(&self, host: &Client) -> Result<(), Cause> {
        let requests = Requests {
            host,
            names: self.cluster.names(),
        };
        requests.annotate(&objects::version_patch(self.to)).await?;
        self.cluster.is_now(self.to);
        Ok(())
    }
}
