//! Brings the host's nodes into the virtual cluster, as long as the tenant's pods are on them.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use k8s_openapi::api::core::v1::{Node, Pod};
use kube::ResourceExt;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::{
    cache::Change,
    chain::Chain,
    clusters::Clusters,
    cover, labels,
    object_key::ObjectKey,
    plan,
    queue::{Outcome, Queue},
    resources::{node, pod},
    worker,
    write::{self, Merge},
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
        for cache in [&caches.host_nodes, &caches.virtual_nodes] {
            // Weak, as the caches live as long as the clusters do, and the controller holds those.
            let weak = Arc::downgrade(&nodes);
            cache.subscribe(move |change| {
                if let Some(nodes) = weak.upgrade() {
                    nodes.queue.add(change.key.name.clone());
                }
            });
        }
        for cache in [&caches.host_pods, &caches.virtual_pods] {
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
        self.clusters
            .metrics
            .turn("Node", start.elapsed(), result.is_err(), self.queue.len());
        result.unwrap_or_else(|error| {
            warn!(node = name, error = %Chain(&error), "could not sync");
            Outcome::Failed {
                first: Duration::from_millis(20),
                longest: Duration::from_secs(10),
            }
        })
    }

    async fn reconcile(&self, name: &str) -> Result<Outcome, write::Error> {
        let key = ObjectKey::cluster_scoped(name);
        let caches = &self.clusters.caches;
        let shown = caches.virtual_nodes.get(&key);
        let is_ours = |node: &Node| node.labels().contains_key(labels::MIRRORED);
        let host = caches.host_nodes.get(&key);
        let is_wanted =
            host.is_some() && (self.clusters.config.sync.from_host.nodes.all || self.is_used(name));
        match (host.filter(|_| is_wanted), shown) {
            (Some(host), shown) => {
                self.unused_since().remove(name);
                self.show(&host, shown.as_deref()).await?;
            }
            (None, Some(shown)) if is_ours(&shown) => {
                let since = *self
                    .unused_since()
                    .entry(name.to_owned())
                    .or_insert_with(Instant::now);
                let left = LINGER.saturating_sub(since.elapsed());
                if !left.is_zero() {
                    return Ok(Outcome::After(left));
                }
                debug!(node = name, "no longer in use");
                self.clusters.metrics.write("Node", "delete-virtual");
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
        self.clusters.caches.host_pods.any(is_on) || self.clusters.caches.virtual_pods.any(is_on)
    }

    async fn show(&self, host: &Node, shown: Option<&Node>) -> Result<(), write::Error> {
        let mut wanted = node::to_virtual(host);
        let status = wanted.status.take();
        let wanted = plan::stamped(wanted);
        if !shown.is_some_and(|shown| is_shown(&wanted, shown)) {
            self.clusters.metrics.write("Node", "apply-virtual");
            self.clusters.on_virtual.own(&wanted).await?;
        }
        let status = json!({ "status": status });
        let has_status = shown.is_some_and(|shown| cover::covers(&as_json(shown), &status));
        if !has_status {
            self.clusters.metrics.write("Node", "patch-virtual");
            let key = ObjectKey::of(&wanted);
            self.clusters
                .on_virtual
                .merge::<Node>(&key, Merge::Plain(&status), Some("status"))
                .await?;
        }
        Ok(())
    }

    fn unused_since(&self) -> std::sync::MutexGuard<'_, HashMap<String, Instant>> {
        self.unused_since
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_shown(wanted: &Node, shown: &Node) -> bool {
    shown.annotations().get(labels::APPLIED) == wanted.annotations().get(labels::APPLIED)
        && cover::covers(&as_json(shown), &as_json(wanted))
}

/// Types of the Kubernetes API always have a JSON form.
fn as_json(node: &Node) -> Value {
    serde_json::to_value(node).unwrap_or_default()
}
