//! Takes a cluster that waits for its next test.

use std::time::{Duration, Instant};

use ipnet::IpNet;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Client;
use tracing::warn;

use super::{
    VirtualCluster, VirtualClusterBuilder,
    connection::Connection,
    delete,
    error::{Cause, Failure, Step},
    membership::{Facts, Membership},
    names::Names,
    phases::{Phase, Phases},
    reset::{Sides, StateFile},
    start::register,
    virtual_cluster::{Origin, Started},
};
use crate::{
    asset::Assets,
    deadline::Deadline,
    host::HostCluster,
    pool::{self, Pool, PoolKey},
    timeline::{self, Event, Kind},
    version::KubernetesVersion,
};

/// How long a cluster that waited may take to answer. A new one is there in not much more.
const ANSWER: Duration = Duration::from_secs(5);

/// How long a new cluster may take to come to rest. What it does in it longer than that, it does for ever.
const REST: Duration = Duration::from_secs(30);

/// Who wants which cluster.
pub(super) struct Seat<'a> {
    pub(super) options: &'a VirtualClusterBuilder,
    pub(super) key: &'a PoolKey,
    pub(super) pool: Pool,
    pub(super) version: KubernetesVersion,
    pub(super) host: &'a HostCluster,
    pub(super) client: &'a Client,
    pub(super) range: IpNet,
    pub(super) assets: &'a Assets,
}

impl Seat<'_> {
    /// A cluster that waits, ready for its next test; `None` when there is none. What waits and does not
    /// work is deleted. A pool that fails is no reason for a start to fail.
    pub(super) async fn take(&self, phases: &mut Phases) -> Option<VirtualCluster> {
        let began = Instant::now();
        let taken = self.look(phases).await;
        let outcome = if taken.is_some() { "hit" } else { "miss" };
        timeline::record(Event::span(Kind::Pool, outcome, began));
        taken
    }

    async fn look(&self, phases: &mut Phases) -> Option<VirtualCluster> {
        loop {
            let claim = pool::claim(self.client, self.key, &self.options.owner);
            let claimed = match tokio::time::timeout(ANSWER, claim).await {
                Ok(Ok(claimed)) => claimed?,
                Ok(Err(error)) => {
                    let error = &error as &dyn std::error::Error;
                    warn!(error, "the pool is left alone");
                    return None;
                }
                Err(_) => {
                    warn!("the pool is left alone: the host does not answer");
                    return None;
                }
            };
            let namespace = claimed.name.clone().unwrap_or_default();
            let open = self.open(&claimed, phases);
            match tokio::time::timeout(ANSWER, Box::pin(open)).await {
                Ok(Ok(cluster)) => return Some(cluster),
                Ok(Err(error)) => {
                    let error = &error as &dyn std::error::Error;
                    warn!(namespace, error, "a cluster that waited is of no use");
                }
                Err(_) => warn!(namespace, "a cluster that waited does not answer"),
            }
            if let Err(error) = delete(self.client, &namespace).await {
                let error = &error as &dyn std::error::Error;
                warn!(namespace, error, "left to the reaper");
                return None;
            }
        }
    }

    /// Saves the state in which every test is to find a new cluster, and gives the first one its rights. One
    /// that cannot be saved is for its first test alone.
    pub(super) async fn open_to_others(
        &self,
        connection: Connection,
        names: &Names,
        phases: &mut Phases,
    ) -> Result<(Connection, Option<Membership>), Failure> {
        let sides = Sides {
            on_host: self.client,
            on_virtual: &connection.client(),
            names,
            file: StateFile::OfPool,
        };
        if let Err(error) = sides.save(Deadline::after("a saved state", REST)).await {
            let error = &error as &dyn std::error::Error;
            warn!(cluster = names.cluster(), error, "for one test alone");
            return Ok((connection, None));
        }
        phases.pass(Phase::Saved);
        let begun = async {
            let facts = Facts::of_new(self.client, names).await?;
            Membership::begin(self.host, self.client, names, self.pool, facts).await
        };
        let (connection, membership) = begun.await.map_err(Failure::at(Step::Connect))?;
        Ok((connection, Some(membership)))
    }

    async fn open(
        &self,
        claimed: &ObjectMeta,
        phases: &mut Phases,
    ) -> Result<VirtualCluster, Cause> {
        let namespace = claimed.name.as_deref().unwrap_or_default();
        let names = Names::new(namespace, namespace)?;
        let registration = register(self.options, self.host, namespace);
        let opened = async {
            let facts = Facts::read(self.client, &names).await?;
            if pool::pulse(claimed) != Some(&facts.pulse) {
                return Err(Cause::Restarted);
            }
            Membership::begin(self.host, self.client, &names, self.pool, facts).await
        };
        let (connection, membership) = match opened.await {
            Ok(opened) => opened,
            Err(cause) => {
                if let Some(registration) = registration {
                    registration.deleted();
                }
                return Err(cause);
            }
        };
        phases.pass(Phase::Taken);
        let origin = Origin {
            names,
            distro: Some(self.options.distro.name().to_owned()),
            version: Some(self.version),
            owner: self.options.owner.clone(),
            host: self.host.clone(),
            host_config: self.host.config().await?,
            started: Some(Started {
                options: self.options.clone(),
                range: self.range,
                assets: self.assets.clone(),
            }),
            phases: phases.clone(),
        };
        let cluster = VirtualCluster::new(origin, connection, registration, Some(membership));
        Ok(cluster)
    }
}
