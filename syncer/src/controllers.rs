//! One controller per resource, as far as the configuration asks for it, and what one kind's changes
//! mean for the objects of another.

use std::sync::Arc;

use futures::future::{BoxFuture, FutureExt, join_all};
use k8s_openapi::api::core::v1::{Namespace, PersistentVolume};
use kube::ResourceExt;
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::{
    cache::{Cache, Change},
    caches::Pair,
    clusters::Clusters,
    controller::Controller,
    csi,
    kubernetes_service::KubernetesService,
    metadata,
    mirror::{Mirror, View},
    nodes::Nodes,
    object_key::ObjectKey,
    resource::{Kind, Reference, ResourceSyncer, Synced},
    resources::{
        config_map::ConfigMaps,
        endpoint_slice::{self, EndpointSlices},
        endpoints::{self, EndpointsOfServices},
        exposure,
        ingress::Ingresses,
        network_policy::NetworkPolicies,
        persistent_volume::PersistentVolumes,
        persistent_volume_claim::PersistentVolumeClaims,
        pod::{self, Pods},
        pod_disruption_budget::PodDisruptionBudgets,
        priority_class::PriorityClasses,
        secret::Secrets,
        service::Services,
        service_account::ServiceAccounts,
        storage_class::StorageClasses,
    },
    token::Tokens,
    volumes::Volumes,
};

/// All controllers of a syncer.
pub(crate) struct Controllers {
    pods: Arc<Controller<Pods>>,
    endpoints: Arc<Controller<EndpointsOfServices>>,
    endpoint_slices: Arc<Controller<EndpointSlices>>,
    config_maps: Arc<Controller<ConfigMaps>>,
    secrets: Arc<Controller<Secrets>>,
    kubernetes_service: Arc<KubernetesService>,
    others: Others,
}

impl Controllers {
    /// The controllers that the configuration asks for. None of them works yet, and none misses a
    /// change from now on.
    pub(crate) fn new(clusters: &Arc<Clusters>) -> Self {
        let caches = &clusters.caches;
        let controllers = Self {
            pods: Controller::new(clusters, &caches.pods),
            endpoints: Controller::new(clusters, &caches.endpoints),
            endpoint_slices: Controller::new(clusters, &caches.endpoint_slices),
            config_maps: Controller::new(clusters, &caches.config_maps),
            secrets: Controller::new(clusters, &caches.secrets),
            kubernetes_service: KubernetesService::new(clusters),
            others: Others::new(clusters),
        };
        controllers.connect(clusters);
        controllers
    }

    /// Works from the moment that everything is known.
    pub(crate) async fn run(self, clusters: Arc<Clusters>, stop: CancellationToken) {
        let kubernetes_service = self.kubernetes_service.run(stop.clone());
        let rest = async {
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
                self.endpoints.run(stop.clone()),
                self.endpoint_slices.run(stop.clone()),
                self.config_maps.run(stop.clone()),
                self.secrets.run(stop.clone()),
                self.others.run(&stop),
            );
        };
        tokio::join!(kubernetes_service, rest);
    }

    fn connect(&self, clusters: &Arc<Clusters>) {
        let caches = &clusters.caches;
        self.wake_used::<Pods>(clusters, &caches.pods.on_virtual);
        self.wake_used::<Ingresses>(clusters, &caches.ingresses.on_virtual);
        self.wake_referrers(clusters, &caches.config_maps, Kind::ConfigMap);
        self.wake_referrers(clusters, &caches.secrets, Kind::Secret);
        self.wake_referrers(clusters, &caches.claims, Kind::PersistentVolumeClaim);
        self.wake_referrers(clusters, &caches.service_accounts, Kind::ServiceAccount);
        self.wake_referrers(clusters, &caches.priority_classes, Kind::PriorityClass);
        self.wake_pods_of_nodes(clusters);
        self.wake_pods_of_namespaces(clusters);
        self.wake_endpoints(clusters);
        self.wake_endpoints_of_pods(clusters);
    }

    /// An object that comes or goes puts config maps and secrets into use or out of it. Most are in use
    /// already, and on the host.
    fn wake_used<R: ResourceSyncer>(&self, clusters: &Arc<Clusters>, users: &Cache<R::Object>) {
        let (config_maps, secrets) = (
            Arc::downgrade(&self.config_maps),
            Arc::downgrade(&self.secrets),
        );
        let weak = Arc::downgrade(clusters);
        users.subscribe(move |change| {
            let Some(clusters) = weak.upgrade() else {
                return;
            };
            let references = |object: &Option<Arc<R::Object>>| {
                object.as_deref().map(R::references).unwrap_or_default()
            };
            let (before, after) = (references(&change.before), references(&change.after));
            let changed = before
                .iter()
                .filter(|reference| !after.contains(reference))
                .chain(after.iter().filter(|reference| !before.contains(reference)));
            // Changes of a twin wake its pair as well, so one that is on its way is not missed.
            let misplaced = |it: &&Reference| clusters.caches.is_misplaced(it);
            for Reference { kind, key } in changed.filter(misplaced).cloned() {
                match kind {
                    Kind::ConfigMap => config_maps.upgrade().map(|maps| maps.wake(key)),
                    Kind::Secret => secrets.upgrade().map(|secrets| secrets.wake(key)),
                    // These go to the host whether they are used or not.
                    Kind::PersistentVolumeClaim | Kind::ServiceAccount | Kind::PriorityClass => {
                        None
                    }
                };
            }
        });
    }

    /// Pods wait for what they need.
    fn wake_referrers<K: Synced>(&self, clusters: &Arc<Clusters>, needed: &Pair<K>, kind: Kind) {
        let (pods, weak) = (Arc::downgrade(&self.pods), Arc::downgrade(clusters));
        needed.on_host.subscribe(move |change| {
            let (Some(pods), Some(clusters)) = (pods.upgrade(), weak.upgrade()) else {
                return;
            };
            let (None, Some(object)) = (&change.before, &change.after) else {
                return;
            };
            let Some(identity) = metadata::identity(object.as_ref(), &clusters.names) else {
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

    /// Pods wait for their node.
    fn wake_pods_of_nodes(&self, clusters: &Arc<Clusters>) {
        let (pods, weak) = (Arc::downgrade(&self.pods), Arc::downgrade(clusters));
        clusters.caches.nodes.on_virtual.subscribe(move |change| {
            let (Some(pods), Some(clusters)) = (pods.upgrade(), weak.upgrade()) else {
                return;
            };
            if change.before.is_some() == change.after.is_some() {
                return;
            }
            let host_pods = &clusters.caches.pods.on_host;
            for host in host_pods.filter(|pod| pod::node_of(pod) == Some(&change.key.name)) {
                if let Some(identity) = metadata::identity(host.as_ref(), &clusters.names) {
                    pods.wake(identity.key);
                }
            }
        });
    }

    /// The labels of a namespace are on its pods.
    fn wake_pods_of_namespaces(&self, clusters: &Arc<Clusters>) {
        let (pods, weak) = (Arc::downgrade(&self.pods), Arc::downgrade(clusters));
        clusters.caches.namespaces.subscribe(move |change| {
            let (Some(pods), Some(clusters)) = (pods.upgrade(), weak.upgrade()) else {
                return;
            };
            let Change { before, after, key } = change;
            let labels = |namespace: &Option<Arc<Namespace>>| {
                namespace.as_ref().map(|it| it.labels().clone())
            };
            if labels(before) == labels(after) {
                return;
            }
            for pod in clusters.caches.pods.on_virtual.keys() {
                if pod.namespace.as_ref() == Some(&key.name) {
                    pods.wake(pod);
                }
            }
        });
    }

    /// A service decides who writes its endpoints.
    fn wake_endpoints(&self, clusters: &Arc<Clusters>) {
        let (endpoints, slices) = (
            Arc::downgrade(&self.endpoints),
            Arc::downgrade(&self.endpoint_slices),
        );
        let weak = Arc::downgrade(clusters);
        clusters
            .caches
            .services
            .on_virtual
            .subscribe(move |change| {
                if let Some(endpoints) = endpoints.upgrade() {
                    endpoints.wake(change.key.clone());
                }
                let (Some(slices), Some(clusters)) = (slices.upgrade(), weak.upgrade()) else {
                    return;
                };
                let all = &clusters.caches.endpoint_slices.on_virtual;
                let is_its =
                    |slice: &_| endpoint_slice::service_of(slice).as_ref() == Some(&change.key);
                for slice in all.filter(is_its) {
                    slices.wake(ObjectKey::of(slice.as_ref()));
                }
            });
    }
}

impl Controllers {
    /// Whose an address is decides whether it may be behind a service that is open to the outside.
    fn wake_endpoints_of_pods(&self, clusters: &Arc<Clusters>) {
        let (endpoints, slices) = (
            Arc::downgrade(&self.endpoints),
            Arc::downgrade(&self.endpoint_slices),
        );
        let weak = Arc::downgrade(clusters);
        clusters.caches.pods.on_host.subscribe(move |change| {
            let addresses =
                |pod: &Option<Arc<_>>| pod.as_deref().map(exposure::addresses).unwrap_or_default();
            let (before, after) = (addresses(&change.before), addresses(&change.after));
            if before == after {
                return;
            }
            let (Some(endpoints), Some(slices), Some(clusters)) =
                (endpoints.upgrade(), slices.upgrade(), weak.upgrade())
            else {
                return;
            };
            let is_one = |address: &String| {
                let address = address.parse();
                address.is_ok_and(|it| before.contains(&it) != after.contains(&it))
            };
            let caches = &clusters.caches;
            let all = &caches.endpoints.on_virtual;
            for found in all.filter(|it| endpoints::addresses_of(it).any(is_one)) {
                endpoints.wake(ObjectKey::of(found.as_ref()));
            }
            let all = &caches.endpoint_slices.on_virtual;
            for found in all.filter(|it| endpoint_slice::addresses_of(it).any(is_one)) {
                slices.wake(ObjectKey::of(found.as_ref()));
            }
        });
    }
}

/// Controllers that no other one wakes.
struct Others {
    clusters: Arc<Clusters>,
    list: Vec<Work>,
}

/// Works until it is told to stop.
type Work = Box<dyn FnOnce(CancellationToken) -> BoxFuture<'static, ()> + Send>;

impl Others {
    fn new(clusters: &Arc<Clusters>) -> Self {
        let mut others = Self {
            clusters: Arc::clone(clusters),
            list: Vec::new(),
        };
        let caches = &clusters.caches;
        let (to_host, from_host) = (
            &clusters.config.sync.to_host,
            &clusters.config.sync.from_host,
        );
        others.sync::<Services>(&caches.services);
        let nodes = Nodes::new(clusters);
        others.add(|stop| nodes.run(stop));
        let tokens = Tokens::new(clusters);
        others.add(|stop| tokens.run(stop));
        if to_host.persistent_volume_claims.enabled {
            let claims = others.sync::<PersistentVolumeClaims>(&caches.claims);
            others.wake_claims(&claims);
            let volumes = Volumes::new(clusters);
            others.add(|stop| volumes.run(stop));
        }
        if to_host.persistent_volumes.enabled {
            let volumes = others.sync::<PersistentVolumes>(&caches.volumes);
            others.wake_volumes(&volumes);
        }
        if to_host.service_accounts.enabled {
            others.sync::<ServiceAccounts>(&caches.service_accounts);
        }
        if to_host.ingresses.enabled {
            others.sync::<Ingresses>(&caches.ingresses);
        }
        if to_host.network_policies.enabled {
            others.sync::<NetworkPolicies>(&caches.network_policies);
        }
        if to_host.pod_disruption_budgets.enabled {
            others.sync::<PodDisruptionBudgets>(&caches.disruption_budgets);
        }
        if to_host.priority_classes.enabled {
            others.sync::<PriorityClasses>(&caches.priority_classes);
        }
        if to_host.storage_classes.enabled {
            others.sync::<StorageClasses>(&caches.storage_classes);
        }
        if from_host.priority_classes.enabled {
            others.mirror(&caches.priority_classes);
        }
        if from_host.storage_classes.enabled {
            others.mirror(&caches.storage_classes);
        }
        if from_host.ingress_classes.enabled {
            others.mirror(&caches.ingress_classes);
        }
        if from_host.runtime_classes.enabled {
            others.mirror(&caches.runtime_classes);
        }
        if clusters.config.sync.shows_drivers() {
            let drivers = csi::drivers(clusters);
            others.add(|stop| drivers.run(stop));
            let nodes = csi::nodes(clusters);
            others.add(|stop| nodes.run(stop));
            let capacities = csi::capacities(clusters);
            others.add(|stop| capacities.run(stop));
        }
        others
    }

    fn sync<R: ResourceSyncer>(&mut self, objects: &Pair<R::Object>) -> Arc<Controller<R>> {
        let controller = Controller::<R>::new(&self.clusters, objects);
        let worker = Arc::clone(&controller);
        self.add(|stop| worker.run(stop));
        controller
    }

    /// Claims are for the volumes that the tenant wrote, if there are any.
    fn wake_claims(&self, claims: &Arc<Controller<PersistentVolumeClaims>>) {
        let (claims, weak) = (Arc::downgrade(claims), Arc::downgrade(&self.clusters));
        let volumes = &self.clusters.caches.volumes.on_virtual;
        volumes.subscribe(move |change| {
            let (Some(claims), Some(clusters)) = (claims.upgrade(), weak.upgrade()) else {
                return;
            };
            let is_own = |volume: &Arc<_>| !metadata::is_mirrored::<PersistentVolume>(volume);
            let came_or_went = change.before.is_some() != change.after.is_some();
            if came_or_went && change.newest().is_some_and(is_own) {
                for key in clusters.caches.claims.on_virtual.keys() {
                    claims.wake(key);
                }
            }
        });
    }

    /// A volume shows the claim that it is bound to.
    fn wake_volumes(&self, volumes: &Arc<Controller<PersistentVolumes>>) {
        let weak = Arc::downgrade(volumes);
        self.clusters
            .caches
            .claims
            .on_virtual
            .subscribe(move |change| {
                let name = change
                    .newest()
                    .and_then(|claim| claim.spec.as_ref()?.volume_name.clone());
                if let (Some(volumes), Some(name)) = (weak.upgrade(), name) {
                    volumes.wake(ObjectKey::cluster_scoped(name));
                }
            });
    }

    fn mirror<K: Synced>(&mut self, objects: &Pair<K>) {
        let mirror = Mirror::new(&self.clusters, objects, View::default());
        self.add(|stop| mirror.run(stop));
    }

    fn add<F>(&mut self, run: impl FnOnce(CancellationToken) -> F + Send + 'static)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.list.push(Box::new(|stop| run(stop).boxed()));
    }

    async fn run(self, stop: &CancellationToken) {
        join_all(self.list.into_iter().map(|work| work(stop.clone()))).await;
    }
}
