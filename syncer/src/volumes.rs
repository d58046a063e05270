//! Shows the volumes that the host found for the tenant's claims. Nobody in the virtual cluster makes
//! or binds volumes, and the host's own are not the tenant's to see.

use std::{sync::Arc, time::Instant};

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use kube::ResourceExt;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::{
    clusters::Clusters,
    metadata, mirror,
    object_key::ObjectKey,
    plan,
    queue::{Outcome, Queue},
    resources::persistent_volume::{of_claim, volume_of},
    worker,
    write::{self, Merge},
};

/// Keeps a virtual volume for each one that a virtual claim names.
pub(crate) struct Volumes {
    clusters: Arc<Clusters>,
    queue: Queue<String>,
}

impl Volumes {
    /// Hears of virtual claims and volumes.
    pub(crate) fn new(clusters: &Arc<Clusters>) -> Arc<Self> {
        let volumes = Arc::new(Self {
            clusters: Arc::clone(clusters),
            queue: Queue::default(),
        });
        // Weak, as the caches live as long as the clusters do, and the controller holds those.
        let weak = Arc::downgrade(&volumes);
        clusters.caches.claims.on_virtual.subscribe(move |change| {
            let Some(volumes) = weak.upgrade() else {
                return;
            };
            for claim in [&change.before, &change.after].into_iter().flatten() {
                if let Some(name) = volume_of(claim) {
                    volumes.queue.add(name.to_owned());
                }
            }
        });
        let caches = &clusters.caches;
        for cache in [&caches.volumes.on_virtual, &caches.everybodys_volumes] {
            let weak = Arc::downgrade(&volumes);
            cache.subscribe(move |change| {
                if let Some(volumes) = weak.upgrade() {
                    volumes.queue.add(change.key.name.clone());
                }
            });
        }
        volumes
    }

    /// Works until `stop`.
    pub(crate) async fn run(self: Arc<Self>, stop: CancellationToken) {
        worker::work(&self.queue, &stop, |name| {
            let volumes = Arc::clone(&self);
            async move {
                let start = Instant::now();
                let result = volumes.reconcile(&name).await;
                worker::report(
                    &volumes.clusters.metrics,
                    ("PersistentVolume", &name),
                    start.elapsed(),
                    volumes.queue.len(),
                    result,
                )
            }
        })
        .await;
    }

    async fn reconcile(&self, name: &str) -> Result<Outcome, write::Error> {
        let caches = &self.clusters.caches;
        let shown = caches
            .volumes
            .on_virtual
            .get(&ObjectKey::cluster_scoped(name));
        if shown
            .as_deref()
            .is_some_and(|it| !metadata::is_mirrored(it))
        {
            return Ok(Outcome::Done);
        }
        let names_it = |claim: &PersistentVolumeClaim| volume_of(claim) == Some(name);
        let claims = caches.claims.on_virtual.filter(names_it);
        // Two claims of one volume are a tenant's mistake; the answer must be the same each time.
        let claim = claims
            .into_iter()
            .min_by_key(|claim| ObjectKey::of(claim.as_ref()));
        match (claim, shown) {
            (Some(claim), shown) => {
                let mut volume = of_claim(&claim, name);
                // Nothing is known of it unless a scheduler of the tenant's must know.
                let key = ObjectKey::cluster_scoped(name);
                if let (Some(host), Some(spec)) =
                    (caches.everybodys_volumes.get(&key), &mut volume.spec)
                {
                    let reach = host
                        .spec
                        .as_ref()
                        .and_then(|spec| spec.node_affinity.clone());
                    spec.node_affinity = reach;
                }
                let status = json!({ "status": volume.status.take() });
                mirror::show(&self.clusters, volume, Some(status), shown.as_deref()).await?;
            }
            (None, Some(shown)) => self.remove(&shown).await?,
            (None, None) => {}
        }
        Ok(Outcome::Done)
    }

    /// The virtual cluster protects bound volumes, and nobody there ever sets one free.
    async fn remove(&self, shown: &PersistentVolume) -> Result<(), write::Error> {
        if !plan::is_deleting(shown) {
            return mirror::hide(&self.clusters, shown).await;
        }
        if shown.finalizers().is_empty() {
            return Ok(());
        }
        let patch = json!({"metadata": {"uid": shown.uid(), "finalizers": null}});
        let key = ObjectKey::of(shown);
        self.clusters
            .on_virtual
            .merge::<PersistentVolume>(&key, Merge::Plain(&patch), None)
            .await
    }
}
