//! Starts everything and ends it.

use std::sync::Arc;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::{
    clusters::Clusters,
    controller::Controller,
    coredns::CoreDns,
    events, health,
    health::Health,
    kubernetes_service::KubernetesService,
    nodes::Nodes,
    resource::{Kind, Reference, ResourceSyncer},
    resources::{
        config_map::ConfigMaps, endpoint_slice::EndpointSlices, endpoints::EndpointsOfServices,
        pod::Pods, secret::Secrets, service::Services,
    },
    token::Tokens,
};

/// A running syncer. End it with [`Self::shutdown`]; dropping it leaves writes half done.
#[derive(Debug)]
#[must_use = "a syncer that is dropped stops at once"]
pub struct Syncer {
    clusters: Arc<Clusters>,
    tasks: JoinSet<()>,
    stop: CancellationToken,
}

impl Syncer {
    /// Starts to keep the two clusters in step. The virtual one need not answer yet.
    pub fn start(clusters: Clusters) -> Self {
        let clusters = Arc::new(clusters);
        let stop = CancellationToken::new();
        let mut tasks = JoinSet::new();
        let controllers = Controllers::new(&clusters);
        clusters.caches.watch(
            clusters.on_virtual.client(),
            clusters.on_host.client(),
            &mut tasks,
            &stop,
        );
        if let Some(dns) = CoreDns::new(&clusters.config) {
            let (clusters, stop) = (Arc::clone(&clusters), stop.clone());
            tasks.spawn(async move {
                dns.run(&clusters.on_virtual, stop.clone()).await;
                stop.cancelled().await;
            });
        }
        if clusters.config.sync.from_host.events.enabled {
            tasks.spawn(events::run(Arc::clone(&clusters), stop.clone()));
        }
        tasks.spawn(controllers.run(Arc::clone(&clusters), stop.clone()));
        Self {
            clusters,
            tasks,
            stop,
        }
    }

    /// The clusters that it keeps in step.
    pub fn clusters(&self) -> &Arc<Clusters> {
        &self.clusters
    }

    /// Tells when the syncer is asked to stop.
    pub fn stop_token(&self) -> CancellationToken {
        self.stop.clone()
    }

    /// Runs another task with the syncer, such as the relay. It must end when
    /// [`Self::stop_token`] says so, and ends the syncer when it ends before.
    pub fn run_with(&mut self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(task);
    }

    /// Answers health checks on the configured address.
    pub async fn serve_health(&mut self) -> Result<std::net::SocketAddr, health::Error> {
        let health = Health::bind(Arc::clone(&self.clusters)).await?;
        let address = health
            .address()
            .unwrap_or(self.clusters.config.health_address);
        self.tasks.spawn(health.run(self.stop.clone()));
        Ok(address)
    }

    /// Waits until everything has been seen once.
    pub async fn wait_until_ready(&self) {
        self.clusters.caches.wait_until_ready().await;
    }

    /// Waits until a task ends that should not.
    pub async fn wait_for_failure(&mut self) {
        match self.tasks.join_next().await {
            Some(Err(error)) => warn!(%error, "a task ended"),
            Some(Ok(())) => warn!("a task ended"),
            None => {}
        }
    }

    /// Finishes what was begun and stops.
    pub async fn shutdown(mut self) {
        self.stop.cancel();
        while self.tasks.join_next().await.is_some() {}
    }
}

/// One controller per resource.
struct Controllers {
    pods: Arc<Controller<Pods>>,
    services: Arc<Controller<Services>>,
    endpoints: Arc<Controller<EndpointsOfServices>>,
    endpoint_slices: Arc<Controller<EndpointSlices>>,
    config_maps: Arc<Controller<ConfigMaps>>,
    secrets: Arc<Controller<Secrets>>,
    nodes: Arc<Nodes>,
    tokens: Arc<Tokens>,
    kubernetes_service: Arc<KubernetesService>,
}

impl Controllers {
    fn new(clusters: &Arc<Clusters>) -> Self {
        let caches = &clusters.caches;
        let controllers = Self {
            pods: Controller::new(clusters, &caches.virtual_pods, &caches.host_pods),
            services: Controller::new(clusters, &caches.virtual_services, &caches.host_services),
            endpoints: Controller::new(clusters, &caches.virtual_endpoints, &caches.host_endpoints),
            endpoint_slices: Controller::new(
                clusters,
                &caches.virtual_endpoint_slices,
                &caches.host_endpoint_slices,
            ),
            config_maps: Controller::new(
                clusters,
                &caches.virtual_config_maps,
                &caches.host_config_maps,
            ),
            secrets: Controller::new(clusters, &caches.virtual_secrets, &caches.host_secrets),
            nodes: Nodes::new(clusters),
            tokens: Tokens::new(clusters),
            kubernetes_service: KubernetesService::new(clusters),
        };
        controllers.connect(clusters);
        controllers
    }

    /// What one kind's changes mean for the objects of another.
    fn connect(&self, clusters: &Arc<Clusters>) {
        let caches = &clusters.caches;
        // A pod that comes or goes puts config maps and secrets into use or out of it.
        let (config_maps, secrets) = (
            Arc::downgrade(&self.config_maps),
            Arc::downgrade(&self.secrets),
        );
        caches.virtual_pods.subscribe(move |change| {
            let references =
                |pod: &Option<Arc<_>>| pod.as_deref().map(Pods::references).unwrap_or_default();
            let (before, after) = (references(&change.before), references(&change.after));
            let changed = before
                .iter()
                .filter(|reference| !after.contains(reference))
                .chain(after.iter().filter(|reference| !before.contains(reference)));
            for Reference { kind, key } in changed.cloned() {
                match kind {
                    Kind::ConfigMap => config_maps.upgrade().map(|maps| maps.wake(key)),
                    Kind::Secret => secrets.upgrade().map(|secrets| secrets.wake(key)),
                };
            }
        });
        // Pods wait for what they need.
        self.wake_referrers(clusters, &caches.host_config_maps, Kind::ConfigMap);
        self.wake_referrers(clusters, &caches.host_secrets, Kind::Secret);
        // Pods wait for their node.
        let (pods, weak) = (Arc::downgrade(&self.pods), Arc::downgrade(clusters));
        caches.virtual_nodes.subscribe(move |change| {
            let (Some(pods), Some(clusters)) = (pods.upgrade(), weak.upgrade()) else {
                return;
            };
            if change.before.is_some() == change.after.is_some() {
                return;
            }
            let on_node = clusters
                .caches
                .host_pods
                .filter(|pod| crate::resources::pod::node_of(pod) == Some(&change.key.name));
            for host in on_node {
                if let Some(identity) = crate::metadata::identity(host.as_ref(), &clusters.names) {
                    pods.wake(identity.key);
                }
            }
        });
        // The labels of a namespace are on its pods.
        let (pods, weak) = (Arc::downgrade(&self.pods), Arc::downgrade(clusters));
        caches.virtual_namespaces.subscribe(move |change| {
            let (Some(pods), Some(clusters)) = (pods.upgrade(), weak.upgrade()) else {
                return;
            };
            let labels = |namespace: &Option<Arc<k8s_openapi::api::core::v1::Namespace>>| {
                namespace
                    .as_ref()
                    .and_then(|namespace| namespace.metadata.labels.clone())
            };
            if labels(&change.before) == labels(&change.after) {
                return;
            }
            let namespace = Some(&change.key.name);
            for key in clusters.caches.virtual_pods.keys() {
                if key.namespace.as_ref() == namespace {
                    pods.wake(key);
                }
            }
        });
        // A service decides who writes its endpoints.
        let (endpoints, slices) = (
            Arc::downgrade(&self.endpoints),
            Arc::downgrade(&self.endpoint_slices),
        );
        let weak = Arc::downgrade(clusters);
        caches.virtual_services.subscribe(move |change| {
            if let Some(endpoints) = endpoints.upgrade() {
                endpoints.wake(change.key.clone());
            }
            let (Some(slices), Some(clusters)) = (slices.upgrade(), weak.upgrade()) else {
                return;
            };
            let of_service = clusters.caches.virtual_endpoint_slices.filter(|slice| {
                crate::resources::endpoint_slice::service_of(slice).as_ref() == Some(&change.key)
            });
            for slice in of_service {
                slices.wake(crate::ObjectKey::of(slice.as_ref()));
            }
        });
    }

    fn wake_referrers<K: crate::resource::Synced>(
        &self,
        clusters: &Arc<Clusters>,
        host_objects: &crate::cache::Cache<K>,
        kind: Kind,
    ) {
        let (pods, weak) = (Arc::downgrade(&self.pods), Arc::downgrade(clusters));
        host_objects.subscribe(move |change| {
            let (Some(pods), Some(clusters)) = (pods.upgrade(), weak.upgrade()) else {
                return;
            };
            let (None, Some(object)) = (&change.before, &change.after) else {
                return;
            };
            let Some(identity) = crate::metadata::identity(object.as_ref(), &clusters.names) else {
                return;
            };
            let target = Reference {
                kind,
                key: identity.key,
            };
            for pod in clusters.caches.references.referrers("Pod", &target) {
                pods.wake(pod);
            }
        });
    }

    /// Works from the moment that everything is known.
    async fn run(self, clusters: Arc<Clusters>, stop: CancellationToken) {
        let kubernetes_service = self.kubernetes_service.run(stop.clone());
        let others = async {
            if stop
                .run_until_cancelled(clusters.caches.wait_until_ready())
                .await
                .is_none()
            {
                return;
            }
            info!(cluster = %clusters.names.cluster(), step = "sync", "ready");
            tokio::join!(
                self.pods.run(stop.clone()),
                self.services.run(stop.clone()),
                self.endpoints.run(stop.clone()),
                self.endpoint_slices.run(stop.clone()),
                self.config_maps.run(stop.clone()),
                self.secrets.run(stop.clone()),
                self.nodes.run(stop.clone()),
                self.tokens.run(stop.clone()),
            );
        };
        tokio::join!(kubernetes_service, others);
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use http::{Request, Response};
    use kube::{Client, client::Body};

    /// A client that never answers.
    pub(crate) fn unreachable() -> Client {
        let service = tower::service_fn(|_: Request<Body>| {
            std::future::pending::<Result<Response<Body>, std::convert::Infallible>>()
        });
        Client::new(service, "default")
    }
}
