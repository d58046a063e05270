//! Everything that is watched, on both sides. One value, shared by all controllers and the relay.

use std::sync::Arc;

use k8s_openapi::api::{
    core::v1::{ConfigMap, Endpoints, Namespace, Node, Pod, Secret, Service},
    discovery::v1::EndpointSlice,
};
use kube::{Client, runtime::watcher};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::{
    cache::Cache, labels, metadata, naming::NameTranslator, object_key::ObjectKey,
    references::References, resource::Synced, resources::pod::Pods, trim,
};

/// All caches. The virtual ones see everything; the host ones see this cluster's host namespace,
/// and of pods, services, config maps and secrets only what carries this cluster's label.
#[derive(Debug)]
pub struct Caches {
    /// How names go from one side to the other.
    pub names: NameTranslator,
    /// Virtual pods.
    pub virtual_pods: Cache<Pod>,
    /// Virtual services.
    pub virtual_services: Cache<Service>,
    /// Virtual endpoints.
    pub virtual_endpoints: Cache<Endpoints>,
    /// Virtual endpoint slices.
    pub virtual_endpoint_slices: Cache<EndpointSlice>,
    /// Virtual config maps.
    pub virtual_config_maps: Cache<ConfigMap>,
    /// Virtual secrets.
    pub virtual_secrets: Cache<Secret>,
    /// Virtual nodes.
    pub virtual_nodes: Cache<Node>,
    /// Virtual namespaces.
    pub virtual_namespaces: Cache<Namespace>,
    /// Host pods of this cluster.
    pub host_pods: Cache<Pod>,
    /// Host services of this cluster.
    pub host_services: Cache<Service>,
    /// Host endpoints of this cluster.
    pub host_endpoints: Cache<Endpoints>,
    /// All host endpoint slices in the host namespace, also those that the host itself made.
    pub host_endpoint_slices: Cache<EndpointSlice>,
    /// Host config maps of this cluster.
    pub host_config_maps: Cache<ConfigMap>,
    /// Host secrets of this cluster.
    pub host_secrets: Cache<Secret>,
    /// All host nodes.
    pub host_nodes: Cache<Node>,
    /// Which virtual objects need which others.
    pub references: Arc<References>,
}

impl Caches {
    /// Empty caches whose index is kept up to date.
    pub fn new(names: NameTranslator) -> Self {
        let caches = Self {
            names,
            virtual_pods: Cache::default(),
            virtual_services: Cache::default(),
            virtual_endpoints: Cache::default(),
            virtual_endpoint_slices: Cache::default(),
            virtual_config_maps: Cache::default(),
            virtual_secrets: Cache::default(),
            virtual_nodes: Cache::default(),
            virtual_namespaces: Cache::default(),
            host_pods: Cache::default(),
            host_services: Cache::default(),
            host_endpoints: Cache::default(),
            host_endpoint_slices: Cache::default(),
            host_config_maps: Cache::default(),
            host_secrets: Cache::default(),
            host_nodes: Cache::default(),
            references: Arc::default(),
        };
        let references = Arc::clone(&caches.references);
        // The first subscriber, so that the others find the index up to date.
        caches
            .virtual_pods
            .subscribe(move |change| references.update::<Pods>("Pod", change));
        caches
    }

    /// The virtual pod that the host pod at `host_key` stands for, if it is one of this cluster's.
    pub fn virtual_pod_of(&self, host_key: &ObjectKey) -> Option<Arc<Pod>> {
        let host = self.host_pods.get(host_key)?;
        let identity = metadata::identity(host.as_ref(), &self.names)?;
        self.virtual_pods.get(&identity.key)
    }

    /// Starts all watches into `tasks`.
    pub(crate) fn watch(
        &self,
        virtual_client: &Client,
        host_client: &Client,
        tasks: &mut JoinSet<()>,
        stop: &CancellationToken,
    ) {
        let mut on_virtual = Watches {
            client: virtual_client,
            namespace: None,
            tasks: &mut *tasks,
            stop,
        };
        on_virtual.start(&self.virtual_namespaces, None, trim::nothing);
        on_virtual.start(&self.virtual_pods, None, trim::nothing);
        on_virtual.start(&self.virtual_services, None, trim::nothing);
        on_virtual.start(&self.virtual_endpoints, None, trim::nothing);
        on_virtual.start(&self.virtual_endpoint_slices, None, trim::nothing);
        on_virtual.start(&self.virtual_config_maps, None, trim::nothing);
        on_virtual.start(&self.virtual_secrets, None, trim::nothing);
        on_virtual.start(&self.virtual_nodes, None, trim::node);

        let managed = format!("{}={}", labels::MANAGED_BY, self.names.managed_by());
        let mut on_host = Watches {
            client: host_client,
            namespace: Some(self.names.host_namespace()),
            tasks,
            stop,
        };
        on_host.start(&self.host_pods, Some(&managed), trim::host_pod);
        on_host.start(&self.host_services, Some(&managed), trim::nothing);
        on_host.start(&self.host_endpoints, Some(&managed), trim::nothing);
        on_host.start(&self.host_endpoint_slices, None, trim::nothing);
        on_host.start(&self.host_config_maps, Some(&managed), trim::nothing);
        on_host.start(&self.host_secrets, Some(&managed), trim::nothing);
        on_host.start(&self.host_nodes, None, trim::node);
    }

    /// Waits until every cache has seen its whole list once.
    pub async fn wait_until_ready(&self) {
        tokio::join!(
            self.virtual_pods.wait_until_ready(),
            self.virtual_services.wait_until_ready(),
            self.virtual_endpoints.wait_until_ready(),
            self.virtual_endpoint_slices.wait_until_ready(),
            self.virtual_config_maps.wait_until_ready(),
            self.virtual_secrets.wait_until_ready(),
            self.virtual_nodes.wait_until_ready(),
            self.virtual_namespaces.wait_until_ready(),
            self.host_pods.wait_until_ready(),
            self.host_services.wait_until_ready(),
            self.host_endpoints.wait_until_ready(),
            self.host_endpoint_slices.wait_until_ready(),
            self.host_config_maps.wait_until_ready(),
            self.host_secrets.wait_until_ready(),
            self.host_nodes.wait_until_ready(),
        );
    }

    /// Which caches have not seen their whole list yet.
    pub fn not_ready(&self) -> Vec<&'static str> {
        [
            ("virtual pods", self.virtual_pods.is_ready()),
            ("virtual services", self.virtual_services.is_ready()),
            ("virtual endpoints", self.virtual_endpoints.is_ready()),
            (
                "virtual endpoint slices",
                self.virtual_endpoint_slices.is_ready(),
            ),
            ("virtual config maps", self.virtual_config_maps.is_ready()),
            ("virtual secrets", self.virtual_secrets.is_ready()),
            ("virtual nodes", self.virtual_nodes.is_ready()),
            ("virtual namespaces", self.virtual_namespaces.is_ready()),
            ("host pods", self.host_pods.is_ready()),
            ("host services", self.host_services.is_ready()),
            ("host endpoints", self.host_endpoints.is_ready()),
            ("host endpoint slices", self.host_endpoint_slices.is_ready()),
            ("host config maps", self.host_config_maps.is_ready()),
            ("host secrets", self.host_secrets.is_ready()),
            ("host nodes", self.host_nodes.is_ready()),
        ]
        .into_iter()
        .filter(|(_, is_ready)| !is_ready)
        .map(|(name, _)| name)
        .collect()
    }
}

/// Starts the watches of one side.
struct Watches<'a> {
    client: &'a Client,
    namespace: Option<&'a str>,
    tasks: &'a mut JoinSet<()>,
    stop: &'a CancellationToken,
}

impl Watches<'_> {
    fn start<K: Synced>(&mut self, cache: &Cache<K>, selector: Option<&str>, trim: fn(&mut K)) {
        // From the server's own cache: quicker, and what is newer comes with the watch.
        let mut config = watcher::Config::default().any_semantic();
        config.label_selector = selector.map(str::to_owned);
        let api = K::api(self.client, self.namespace);
        self.tasks
            .spawn(cache.clone().watch(api, config, trim, self.stop.clone()));
    }
}
