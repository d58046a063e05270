//! What is known of both sides. One value, shared by all controllers and the relay.

use std::sync::Arc;

use k8s_openapi::api::{
    core::v1::{
        ConfigMap, Endpoints, Namespace, Node, PersistentVolume, PersistentVolumeClaim, Pod,
        Secret, Service, ServiceAccount,
    },
    discovery::v1::EndpointSlice,
    networking::v1::{Ingress, IngressClass, NetworkPolicy},
    node::v1::RuntimeClass,
    policy::v1::PodDisruptionBudget,
    scheduling::v1::PriorityClass,
    storage::v1::{CSIDriver, CSINode, CSIStorageCapacity, StorageClass},
};

use crate::{
    cache::Cache,
    config, metadata,
    naming::NameTranslator,
    object_key::ObjectKey,
    references::References,
    resource::{Kind, Reference, ResourceSyncer},
    resources::{ingress::Ingresses, pod::Pods},
};

/// All caches. The virtual ones see everything; the host ones see this cluster's host namespace, and
/// of most kinds only what carries this cluster's label. Kinds that are not synced stay empty.
#[derive(Debug)]
pub struct Caches {
    /// How names go from one side to the other.
    pub names: NameTranslator,
    /// Pods.
    pub pods: Pair<Pod>,
    /// Services.
    pub services: Pair<Service>,
    /// Endpoints.
    pub endpoints: Pair<Endpoints>,
    /// Endpoint slices; of the host's all in the host namespace, also those that it made itself.
    pub endpoint_slices: Pair<EndpointSlice>,
    /// Config maps.
    pub config_maps: Pair<ConfigMap>,
    /// Secrets.
    pub secrets: Pair<Secret>,
    /// Nodes; all of the host's.
    pub nodes: Pair<Node>,
    /// Virtual namespaces.
    pub namespaces: Cache<Namespace>,
    /// Volume claims.
    pub claims: Pair<PersistentVolumeClaim>,
    /// Volumes; of the host's only those that the tenant wrote.
    pub volumes: Pair<PersistentVolume>,
    /// Service accounts.
    pub service_accounts: Pair<ServiceAccount>,
    /// Ingresses.
    pub ingresses: Pair<Ingress>,
    /// Network policies.
    pub network_policies: Pair<NetworkPolicy>,
    /// Disruption budgets.
    pub disruption_budgets: Pair<PodDisruptionBudget>,
    /// Priority classes.
    pub priority_classes: Pair<PriorityClass>,
    /// Storage classes.
    pub storage_classes: Pair<StorageClass>,
    /// Ingress classes.
    pub ingress_classes: Pair<IngressClass>,
    /// Runtime classes.
    pub runtime_classes: Pair<RuntimeClass>,
    /// Drivers of volumes.
    pub csi_drivers: Pair<CSIDriver>,
    /// Which drivers nodes run.
    pub csi_nodes: Pair<CSINode>,
    /// How much room drivers have; of the host's all.
    pub csi_capacities: Pair<CSIStorageCapacity>,
    /// All pods of the host, anybody's: where they are and what they ask for.
    pub everybodys_pods: Cache<Pod>,
    /// All volumes of the host, anybody's: from where they can be reached.
    pub everybodys_volumes: Cache<PersistentVolume>,
    /// Which virtual objects need which others.
    pub references: Arc<References>,
    pub(crate) sync: config::Sync,
}

/// The caches of one kind.
#[derive(Debug)]
pub struct Pair<K> {
    /// What is in the virtual cluster.
    pub on_virtual: Cache<K>,
    /// What is on the host.
    pub on_host: Cache<K>,
}

impl<K> Default for Pair<K> {
    fn default() -> Self {
        Self {
            on_virtual: Cache::default(),
            on_host: Cache::default(),
        }
    }
}

impl<K> Pair<K> {
    /// Caches for a kind of which there may be thousands of objects.
    fn packed() -> Self {
        Self {
            on_virtual: Cache::packed(),
            on_host: Cache::packed(),
        }
    }

    /// Is the virtual object there and its twin not?
    fn waits(&self, key: &ObjectKey, host_key: &ObjectKey) -> bool {
        self.on_virtual.contains(key) && !self.on_host.contains(host_key)
    }
}

impl Caches {
    /// Empty caches whose index is kept up to date.
    pub fn new(names: NameTranslator, sync: config::Sync) -> Self {
        let caches = Self {
            names,
            pods: Pair::packed(),
            services: Pair::default(),
            endpoints: Pair::default(),
            endpoint_slices: Pair::default(),
            config_maps: Pair::default(),
            secrets: Pair::packed(),
            nodes: Pair::default(),
            namespaces: Cache::default(),
            claims: Pair::default(),
            volumes: Pair::default(),
            service_accounts: Pair::default(),
            ingresses: Pair::default(),
            network_policies: Pair::default(),
            disruption_budgets: Pair::default(),
            priority_classes: Pair::default(),
            storage_classes: Pair::default(),
            ingress_classes: Pair::default(),
            runtime_classes: Pair::default(),
            csi_drivers: Pair::default(),
            csi_nodes: Pair::default(),
            csi_capacities: Pair::default(),
            everybodys_pods: Cache::default(),
            everybodys_volumes: Cache::default(),
            references: Arc::default(),
            sync,
        };
        // The first subscribers, so that the others find the index up to date.
        caches.index::<Pods>(&caches.pods.on_virtual);
        caches.index::<Ingresses>(&caches.ingresses.on_virtual);
        caches
    }

    fn index<R: ResourceSyncer>(&self, referrers: &Cache<R::Object>) {
        let references = Arc::clone(&self.references);
        let kind = <R::Object as k8s_openapi::Resource>::KIND;
        referrers.subscribe(move |change| references.update::<R>(kind, change));
    }

    /// The virtual pod that the host pod at `host_key` stands for, if it is one of this cluster's.
    pub fn virtual_pod_of(&self, host_key: &ObjectKey) -> Option<Arc<Pod>> {
        let host = self.pods.on_host.get(host_key)?;
        let identity = metadata::identity(host.as_ref(), &self.names)?;
        self.pods.on_virtual.get(&identity.key)
    }

    /// Is the object in use and not on the host, or on the host and not in use? Of kinds that go to the
    /// host because somebody uses them.
    pub(crate) fn is_misplaced(&self, reference: &Reference) -> bool {
        let host_key = self.names.host_key(&reference.key);
        let has_twin = match reference.kind {
            Kind::ConfigMap => self.config_maps.on_host.contains(&host_key),
            Kind::Secret => self.secrets.on_host.contains(&host_key),
            Kind::PersistentVolumeClaim | Kind::ServiceAccount | Kind::PriorityClass => {
                return false;
            }
        };
        has_twin != self.references.is_referenced(reference)
    }

    /// Is the virtual object there, meant for the host, and not there yet?
    pub fn is_pending(&self, reference: &Reference) -> bool {
        let Reference { kind, key } = reference;
        let host_key = self.names.host_key(key);
        match kind {
            Kind::ConfigMap => self.config_maps.waits(key, &host_key),
            Kind::Secret => self.secrets.waits(key, &host_key),
            Kind::PersistentVolumeClaim => self.claims.waits(key, &host_key),
            Kind::ServiceAccount => self.service_accounts.waits(key, &host_key),
            Kind::PriorityClass => {
                self.sync.to_host.priority_classes.enabled
                    && self.priority_classes.waits(key, &host_key)
            }
        }
    }
}
