//! Brings the host's nodes into the virtual cluster, as long as the tenant's pods are on them.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use k8s_openapi::api::core::v1::{Node, Pod};
use kube::ResourceExt;
use serde_json::json;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use crate::{
    cache::Change,
    clusters::Clusters,
    metadata, mirror,
    object_key::ObjectKey,
    queue::{Outcome, Queue},
    resources::{node, pod},
    worker, write,
};

/// How long a node stays after its last pod: the next one often comes soon.
const LINGER: Duration = Duration::from_secs(10);

/// Mirrors nodes.
#[derive(Debug)]
pub(crate) struct Nodes {
    clusters: Arc<Clusters>,
    queue: Queue<String>,
    unused_since: Mutex<HashMap<String, Instant>>,
}

impl Nodes {
    /// Hears of nodes on both sides and of pods that come to one or leave it.
    pub(crate) fn new(clusters: &Arc<Clusters>) -> Arc<Self> {
        let nodes = Arc::new(Self {
            clusters: Arc::clone(clusters),
            queue: Queue::default(),
            unused_since: Mutex::default(),
        });
        let caches = &clusters.caches;
        for cache in [&caches.nodes.on_host, &caches.nodes.on_virtual] {
            // Weak, as the caches live as long as the clusters do, and the controller holds those.
            let weak = Arc::downgrade(&nodes);
            cache.subscribe(move |change| {
                if let Some(nodes) = weak.upgrade() {
                    nodes.queue.add(change.key.name.clone());
                }
            });
        }
        for cache in [&caches.pods.on_host, &caches.pods.on_virtual] {
            let weak = Arc::downgrade(&nodes);
            cache.subscribe(move |change| {
                if let Some(nodes) = weak.upgrade() {
                    nodes.on_pod(change);
                }
            });
        }
        nodes
    }

    fn on_pod(&self, change: &Change<Pod>) {
        let node =
            |pod: &Option<Arc<Pod>>| pod.as_deref().and_then(pod::node_of).map(str::to_owned);
        let (before, after) = (node(&change.before), node(&change.after));
        if before != after {
            for node in before.into_iter().chain(after) {
                self.queue.add(node);
            }
        }
    }

    /// Works until `stop`.
    pub(crate) async fn run(self: Arc<Self>, stop: CancellationToken) {
        worker::work(&self.queue, &stop, |name| {
            let nodes = Arc::clone(&self);
            async move { nodes.turn(&name).await }
        })
        .await;
    }

    async fn turn(&self, name: &str) -> Outcome {
        let start = Instant::now();
        let result = self.reconcile(name).await;
        worker::report(
            &self.clusters.metrics,
            ("Node", &name),
            start.elapsed(),
            self.queue.len(),
            result,
        )
    }

    async fn reconcile(&self, name: &str) -> Result<Outcome, write::Error> {
        let key = ObjectKey::cluster_scoped(name);
        let caches = &self.clusters.caches;
        let shown = caches.nodes.on_virtual.get(&key);
        let host = caches.nodes.on_host.get(&key);
        let is_wanted =
            host.is_some() && (self.clusters.config.sync.from_host.nodes.all || self.is_used(name));
        match (host.filter(|_| is_wanted), shown) {
            (Some(host), shown) => {
                self.unused_since().remove(name);
                let mut wanted = node::to_virtual(&host);
                let status = json!({ "status": wanted.status.take() });
                mirror::show(&self.clusters, wanted, Some(status), shown.as_deref()).await?;
            }
            (None, Some(shown)) if metadata::is_mirrored(shown.as_ref()) => {
                let since = *self
                    .unused_since()
                    .entry(name.to_owned())
                    .or_insert_with(Instant::now);
                let left = LINGER.saturating_sub(since.elapsed());
                if !left.is_zero() {
                    return Ok(Outcome::After(left));
                }
                debug!(node = name, "no longer in use");
                let uid = shown.uid().unwrap_or_default();
                self.clusters
                    .on_virtual
                    .delete::<Node>(&key, &uid, Some(0))
                    .await?;
                self.unused_since().remove(name);
            }
            (None, _) => {}
        }
        Ok(Outcome::Done)
    }

    /// Is a pod of this cluster on the node, on either side?
    fn is_used(&self, name: &str) -> bool {
        let is_on = |pod: &Pod| pod::node_of(pod) == Some(name);
        self.clusters.caches.pods.on_host.any(is_on)
            || self.clusters.caches.pods.on_virtual.any(is_on)
    }

    fn unused_since(&self) -> std::sync::MutexGuard<'_, HashMap<String, Instant>> {
        self.unused_since
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}
