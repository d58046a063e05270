//! The two clusters, and everything that the controllers share.

use std::sync::Arc;

use kube::Client;

use crate::{
    caches::Caches,
    config::SyncConfig,
    election::Mandate,
    metrics::Metrics,
    naming::NameTranslator,
    object_key::ObjectKey,
    resource::{ClusterFacts, ResourceSyncer, Translation},
    warning::Warnings,
    write::{Side, Writer},
};

/// Both clusters: how to write to them, what is known of them, and how names go from one to the
/// other.
#[derive(Debug)]
pub struct Clusters {
    /// Writes to the virtual cluster.
    pub on_virtual: Writer,
    /// Writes to the host.
    pub on_host: Writer,
    /// What both sides look like.
    pub caches: Caches,
    /// Names and label keys.
    pub names: NameTranslator,
    /// What never changes while the cluster lives.
    pub facts: Arc<ClusterFacts>,
    /// What the syncer was asked to do.
    pub config: SyncConfig,
    /// Tells tenants why an object of theirs is not on the host.
    pub warnings: Warnings,
    /// Counts what is done.
    pub metrics: Arc<Metrics>,
    /// Says whether this syncer may write now.
    pub mandate: Arc<Mandate>,
}

impl Clusters {
    /// The two clusters that `config` is about.
    pub fn new(virtual_client: Client, host_client: Client, config: SyncConfig) -> Self {
        Self::counting(virtual_client, host_client, config, Arc::default())
    }

    /// As [`Self::new`], with metrics that the clients count in as well.
    pub fn counting(
        virtual_client: Client,
        host_client: Client,
        config: SyncConfig,
        metrics: Arc<Metrics>,
    ) -> Self {
        let names = NameTranslator::new(&config.cluster, &config.host_namespace);
        let mandate = Arc::new(if config.leader_election.enabled {
            Mandate::none()
        } else {
            Mandate::unlimited()
        });
        Self {
            warnings: Warnings::new(virtual_client.clone(), names.clone()),
            on_virtual: Writer::new(virtual_client, Side::Virtual, &metrics, &mandate),
            on_host: Writer::new(host_client, Side::Host, &metrics, &mandate),
            caches: Caches::new(names.clone(), config.sync.clone()),
            facts: Arc::new(ClusterFacts::from(&config)),
            metrics,
            mandate,
            names,
            config,
        }
    }

    /// What translating the object of `R` at `key` may know.
    pub fn translation<R: ResourceSyncer>(&self, key: &ObjectKey) -> Translation {
        Translation {
            names: self.names.clone(),
            facts: Arc::clone(&self.facts),
            around: R::surroundings(key, &self.caches),
        }
    }
}
