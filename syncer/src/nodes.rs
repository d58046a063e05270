//! Shows nodes in the virtual cluster: the host's, those of them that the configuration chooses, or
//! made-up ones where the tenant's pods are.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use k8s_openapi::api::core::v1::{Node, Pod};
use kube::ResourceExt;
use tokio::{sync::OnceCell, time::Instant};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use crate::{
    cache::Change,
    clusters::Clusters,
    config::Shown,
    metadata, mirror,
    object_key::ObjectKey,
    queue::{Outcome, Queue},
    residents::Residents,
    resources::{node, pod},
    worker,
    write::{self, Side},
};

/// How long a node stays after its last pod: the next one often comes soon.
const LINGER: Duration = Duration::from_secs(10);

/// Mirrors nodes.
#[derive(Debug)]
pub(crate) struct Nodes {
    clusters: Arc<Clusters>,
    queue: Queue<String>,
    residents: Residents,
    unused_since: Mutex<HashMap<String, Instant>>,
    /// What made-up nodes say that they run.
    version: OnceCell<String>,
}

impl Nodes {
    /// Hears of nodes on both sides and of pods that come to one or leave it.
    pub(crate) fn new(clusters: &Arc<Clusters>) -> Arc<Self> {
        let nodes = Arc::new(Self {
            clusters: Arc::clone(clusters),
            queue: Queue::default(),
            residents: Residents::default(),
            unused_since: Mutex::default(),
            version: OnceCell::new(),
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
        let weak = Arc::downgrade(&nodes);
        caches.everybodys_pods.subscribe(move |change| {
            let Some(nodes) = weak.upgrade() else {
                return;
            };
            let taken = |pod: &Option<Arc<Pod>>| {
                let pod = pod.as_ref().filter(|pod| !has_ended(pod))?;
                pod.spec.clone()
            };
            let (before, after) = (taken(&change.before), taken(&change.after));
            if before != after {
                let specs = [before, after].into_iter().flatten();
                let on = specs.filter_map(|spec| spec.node_name);
                on.for_each(|node| nodes.queue.add(node));
            }
        });
        for (side, cache) in [
            (Side::Host, &caches.pods.on_host),
            (Side::Virtual, &caches.pods.on_virtual),
        ] {
            let weak = Arc::downgrade(&nodes);
            cache.subscribe(move |change| {
                if let Some(nodes) = weak.upgrade() {
                    nodes.on_pod(side, change);
                }
            });
        }
        nodes
    }

    fn on_pod(&self, side: Side, change: &Change<Pod>) {
        self.residents.update(side, change);
        let node =
            |pod: &Option<Arc<Pod>>| pod.as_deref().and_then(pod::node_of).map(str::to_owned);
        let (before, after) = (node(&change.before), node(&change.after));
        if before != after || !has_same_host(change) {
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
        let shown = self.clusters.caches.nodes.on_virtual.get(&key);
        match (self.wanted(&key, shown.as_deref()).await?, shown) {
            (Some(mut wanted), shown) => {
                self.unused_since().remove(name);
                let seen = shown.as_deref().and_then(|shown| shown.status.as_ref());
                if let (Some(status), Some(seen)) = (&mut wanted.status, seen) {
                    node::keep_heartbeats(status, seen);
                }
                let status = node::status_patch(&wanted, shown.as_deref(), self.keeps_resources());
                wanted.status = None;
                mirror::show(&self.clusters, wanted, Some(status), shown.as_deref()).await?;
            }
            (None, Some(shown)) if metadata::is_mirrored(shown.as_ref()) => {
                let since = *self
                    .unused_since()
                    .entry(name.to_owned())
                    .or_insert_with(Instant::now);
                let left = self.linger().saturating_sub(since.elapsed());
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

    /// The node as the tenant should see it; none if it should not.
    async fn wanted(
        &self,
        key: &ObjectKey,
        shown: Option<&Node>,
    ) -> Result<Option<Node>, write::Error> {
        let sync = &self.clusters.config.sync;
        let host = self.clusters.caches.nodes.on_host.get(key);
        let host = match sync.from_host.nodes.shown() {
            Shown::MadeUp => return self.made_up(&key.name).await,
            Shown::Used => host.filter(|_| self.residents.is_used(&key.name)),
            Shown::Labelled(labels) => host.filter(|host| node::has_labels(host, labels)),
            Shown::All => host,
        };
        let mut wanted = host.map(|host| node::to_virtual(&host, sync));
        if sync.virtual_scheduler.enabled
            && let Some(wanted) = &mut wanted
        {
            node::with_tenants(wanted, shown);
            if let Some(status) = &mut wanted.status {
                let others = self.others_on(&key.name);
                node::take(status, others.iter().map(Arc::as_ref));
            }
        }
        Ok(wanted)
    }

    /// What runs on the node and is not this cluster's. Its own pods the scheduler knows.
    fn others_on(&self, name: &str) -> Vec<Arc<Pod>> {
        let names = &self.clusters.names;
        self.clusters.caches.everybodys_pods.filter(|pod| {
            let is_own = pod.namespace().as_deref() == Some(names.host_namespace())
                && metadata::is_marked(pod, names);
            pod::node_of(pod) == Some(name) && !is_own && !has_ended(pod)
        })
    }

    /// A tenant whose pods are bound by a scheduler of its own may give nodes resources.
    fn keeps_resources(&self) -> bool {
        self.clusters.config.sync.virtual_scheduler.enabled
    }

    async fn made_up(&self, name: &str) -> Result<Option<Node>, write::Error> {
        let Some(seen) = self.residents.sighting(name) else {
            return Ok(None);
        };
        let version = self.version.get_or_try_init(async || {
            let client = self.clusters.on_virtual.client();
            let answer = client.apiserver_version().await;
            let answer = answer.map_err(|source| write::Error {
                action: "read",
                kind: "version".to_owned(),
                object: ObjectKey::cluster_scoped("version"),
                side: Side::Virtual,
                retry_after: None,
                source: Box::new(source),
            })?;
            Ok(answer.git_version)
        });
        Ok(Some(node::made_up(name, &seen, version.await?)))
    }

    /// How long a node stays that is not wanted any more.
    fn linger(&self) -> Duration {
        match self.clusters.config.sync.from_host.nodes.shown() {
            Shown::MadeUp | Shown::Used => LINGER,
            Shown::Labelled(_) | Shown::All => Duration::ZERO,
        }
    }

    fn unused_since(&self) -> std::sync::MutexGuard<'_, HashMap<String, Instant>> {
        self.unused_since
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// Pods that have ended take no room.
fn has_ended(pod: &Pod) -> bool {
    let phase = pod
        .status
        .as_ref()
        .and_then(|status| status.phase.as_deref());
    matches!(phase, Some("Succeeded" | "Failed"))
}

/// Does the pod say the same of its node's addresses as before?
fn has_same_host(change: &Change<Pod>) -> bool {
    let addresses = |pod: &Option<Arc<Pod>>| {
        let status = pod.as_deref().and_then(|pod| pod.status.as_ref());
        status.map(|status| (status.host_ip.clone(), status.host_ips.clone()))
    };
    addresses(&change.before) == addresses(&change.after)
}
