//! What a virtual cluster is to be.

use std::time::Duration;

use tracing::{Instrument as _, info, info_span, warn};
use vcluster_syncer::config::Sync;

use super::{VirtualCluster, error::Error, phases::Phases, start::start};
use crate::{
    admission::Room,
    asset::Assets,
    datastore::Datastore,
    distro::{self, ControlPlane, ControlPlaneContext, Distro, Replicas, Scheduling},
    fixture::Fixtures,
    host::HostCluster,
    owner::Owner,
    pool::Pool,
    slice,
    slice::ServiceRanges,
    version::{KubernetesVersion, VersionRequest},
};

/// How long a start may take, once it is known where its images come from.
const DEFAULT_TIMEOUT: Duration = Duration::from_mins(3);

/// What a virtual cluster is to be. Made by [`VirtualCluster::builder`].
#[derive(Debug, Clone)]
#[must_use = "a cluster is started by `start`"]
pub struct VirtualClusterBuilder {
    pub(super) name: String,
    pub(super) namespace: String,
    pub(super) distro: &'static dyn Distro,
    pub(super) version: Option<VersionRequest>,
    pub(super) store: Option<Datastore>,
    pub(super) replicas: u8,
    pub(super) sync: Sync,
    pub(super) domain: String,
    pub(super) slice_bits: u8,
    pub(super) owner: Owner,
    pub(super) timeout: Duration,
    pub(super) on_failure: OnFailure,
    pub(super) room: Option<Room>,
    pub(super) fixtures: Fixtures,
    pub(super) pool: Option<Pool>,
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
            store: None,
            replicas: 1,
            sync: Sync::default(),
            domain: "cluster.local".to_owned(),
            slice_bits: slice::DEFAULT_BITS,
            owner: Owner::standing(),
            timeout: DEFAULT_TIMEOUT,
            on_failure: OnFailure::default(),
            room: None,
            fixtures: Fixtures::default(),
            pool: None,
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

    /// Where it keeps its objects; the distro's own choice unless said otherwise. A database that an endpoint
    /// names is used as it is found: a cluster that is given the same one again is the same cluster again.
    pub fn store(mut self, store: impl Into<Datastore>) -> Self {
        self.store = Some(match store.into() {
            Datastore::External(endpoint) => Datastore::External(endpoint.of_cluster(&self.name)),
            store => store,
        });
        self
    }

    /// How many pods its control plane is made of; one unless said otherwise. Of three, any one may be lost.
    pub fn replicas(mut self, replicas: u8) -> Self {
        self.replicas = replicas;
        self
    }

    /// What is synced, and who binds its pods to nodes.
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

    /// How long the start may take, counted from when its images are on this machine.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// What becomes of it when it cannot be started.
    pub fn on_failure(mut self, on_failure: OnFailure) -> Self {
        self.on_failure = on_failure;
        self
    }

    /// What it needs room in before it is started; it starts at once unless said otherwise.
    pub fn room(mut self, room: Room) -> Self {
        self.room = Some(room);
        self
    }

    /// What is put into it before it is handed over.
    pub fn fixtures(mut self, fixtures: Fixtures) -> Self {
        self.fixtures = fixtures;
        self
    }

    /// Takes a cluster of this kind that waits for its next test, if there is one; its name is its own then.
    /// A new one may go to other tests after this one, when it is
    /// [given back](VirtualCluster::give_back).
    ///
    /// Whoever gets it is in a group that may do anything, and whose rights end with its use, rather than
    /// in `system:masters`. A distro whose store cannot be put back is not pooled, nor is a cluster that
    /// belongs to no process.
    pub fn pooled(mut self, pool: Pool) -> Self {
        self.pool = Some(pool);
        self
    }

    /// A cluster that nobody had before and nobody gets after; the usual, unless it was
    /// [pooled](Self::pooled).
    pub fn fresh(mut self) -> Self {
        self.pool = None;
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
            let steps = Box::pin(start(&self, host, assets, &mut phases));
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

    /// Who binds its pods to nodes.
    pub(super) fn scheduling(&self) -> Scheduling {
        if self.sync.virtual_scheduler.enabled {
            Scheduling::Virtual
        } else {
            Scheduling::Host
        }
    }

    pub(super) fn describe(
        &self,
        version: KubernetesVersion,
        ranges: ServiceRanges,
        names: &[String],
    ) -> ControlPlane {
        let cx = ControlPlaneContext {
            service_ranges: ranges,
            domain: &self.domain,
            names,
            scheduling: self.scheduling(),
            store: self.store.as_ref(),
            replicas: Replicas {
                set: &self.name,
                namespace: &self.namespace,
                count: self.replicas,
            },
        };
        self.distro.control_plane(version, &cx)
    }
}
