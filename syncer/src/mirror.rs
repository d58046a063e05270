//! Shows objects of the host in the virtual cluster under their own names: classes that tenants
//! choose from. What the tenant made itself under such a name is left alone.

use std::{sync::Arc, time::Instant};

use http::StatusCode;
use kube::ResourceExt;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::{
    cache::Cache,
    caches::Pair,
    clusters::Clusters,
    cover, labels, metadata,
    object_key::ObjectKey,
    plan,
    queue::{Outcome, Queue},
    resource::Synced,
    worker,
    write::{self, Merge},
};

/// Mirrors one kind, all objects of it.
pub(crate) struct Mirror<K> {
    clusters: Arc<Clusters>,
    on_virtual: Cache<K>,
    on_host: Cache<K>,
    queue: Queue<ObjectKey>,
}

impl<K: Synced> Mirror<K> {
    /// Hears of the kind on both sides.
    pub(crate) fn new(clusters: &Arc<Clusters>, objects: &Pair<K>) -> Arc<Self> {
        let mirror = Arc::new(Self {
            clusters: Arc::clone(clusters),
            on_virtual: objects.on_virtual.clone(),
            on_host: objects.on_host.clone(),
            queue: Queue::default(),
        });
        for cache in [&objects.on_virtual, &objects.on_host] {
            // Weak, as the caches live as long as the clusters do, and the controller holds those.
            let weak = Arc::downgrade(&mirror);
            cache.subscribe(move |change| {
                if let Some(mirror) = weak.upgrade() {
                    mirror.queue.add(change.key.clone());
                }
            });
        }
        mirror
    }

    /// Works until `stop`.
    pub(crate) async fn run(self: Arc<Self>, stop: CancellationToken) {
        worker::work(&self.queue, &stop, |key| {
            let mirror = Arc::clone(&self);
            async move {
                let start = Instant::now();
                let result = mirror.reconcile(&key).await;
                worker::report(
                    &mirror.clusters.metrics,
                    (<K as k8s_openapi::Resource>::KIND, &key),
                    start.elapsed(),
                    mirror.queue.len(),
                    result,
                )
            }
        })
        .await;
    }

    async fn reconcile(&self, key: &ObjectKey) -> Result<Outcome, write::Error> {
        let shown = self.on_virtual.get(key);
        if shown
            .as_deref()
            .is_some_and(|it| !metadata::is_mirrored(it))
        {
            return Ok(Outcome::Done);
        }
        let host = self.on_host.get(key);
        match (host.filter(|host| !plan::is_deleting(host.as_ref())), shown) {
            (Some(host), shown) => {
                let mut wanted = host.as_ref().clone();
                *wanted.meta_mut() = metadata::mirrored(host.meta());
                match show(&self.clusters, wanted, None, shown.as_deref()).await {
                    // What makes a class never changes; another one of the name is another class.
                    Err(error) if error.is(StatusCode::UNPROCESSABLE_ENTITY) => match shown {
                        Some(shown) => hide(&self.clusters, shown.as_ref()).await?,
                        None => return Err(error),
                    },
                    result => result?,
                }
            }
            (None, Some(shown)) => hide(&self.clusters, shown.as_ref()).await?,
            (None, None) => {}
        }
        Ok(Outcome::Done)
    }
}

/// Brings a virtual object into the shape `wanted`, which has no status, and its status into that of
/// the patch. What is so already is not written.
pub(crate) async fn show<K: Synced>(
    clusters: &Clusters,
    wanted: K,
    status: Option<Value>,
    shown: Option<&K>,
) -> Result<(), write::Error> {
    let wanted = plan::stamped(wanted);
    let shown_json = shown.map_or(Value::Null, as_json);
    let is_applied = shown.is_some_and(|shown| {
        shown.annotations().get(labels::APPLIED) == wanted.annotations().get(labels::APPLIED)
    });
    if !is_applied || !cover::covers(&shown_json, &as_json(&wanted)) {
        clusters.on_virtual.own(&wanted).await?;
    }
    if let Some(status) = status.filter(|status| !cover::covers(&shown_json, status)) {
        let key = ObjectKey::of(&wanted);
        clusters
            .on_virtual
            .merge::<K>(&key, Merge::Plain(&status), Some("status"))
            .await?;
    }
    Ok(())
}

/// Deletes a virtual object that shows nothing any more.
pub(crate) async fn hide<K: Synced>(clusters: &Clusters, shown: &K) -> Result<(), write::Error> {
    let uid = shown.uid().unwrap_or_default();
    clusters
        .on_virtual
        .delete::<K>(&ObjectKey::of(shown), &uid, Some(0))
        .await
}

/// Types of the Kubernetes API always have a JSON form.
fn as_json<K: Synced>(object: &K) -> Value {
    serde_json::to_value(object).unwrap_or_default()
}
