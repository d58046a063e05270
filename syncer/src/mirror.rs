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

/// Mirrors one kind.
pub(crate) struct Mirror<K> {
    clusters: Arc<Clusters>,
    view: View<K>,
    on_virtual: Cache<K>,
    on_host: Cache<K>,
    queue: Queue<ObjectKey>,
}

/// How the host's objects look in the virtual cluster.
pub(crate) struct View<K> {
    /// Their virtual keys, unless those are the host's.
    pub(crate) key: Option<fn(&ObjectKey) -> ObjectKey>,
    /// The virtual object of a host object; none if it is not shown.
    pub(crate) show: fn(&K, &Clusters) -> Option<K>,
}

impl<K: Synced> Default for View<K> {
    fn default() -> Self {
        Self {
            key: None,
            show: as_it_is,
        }
    }
}

/// The same object, marked as the host's.
#[expect(clippy::unnecessary_wraps, reason = "other views leave some out")]
pub(crate) fn as_it_is<K: Synced>(host: &K, _: &Clusters) -> Option<K> {
    let mut wanted = host.clone();
    *wanted.meta_mut() = metadata::mirrored(host.meta());
    Some(wanted)
}

impl<K: Synced> Mirror<K> {
    /// Hears of the kind on both sides.
    pub(crate) fn new(clusters: &Arc<Clusters>, objects: &Pair<K>, view: View<K>) -> Arc<Self> {
        let mirror = Arc::new(Self {
            clusters: Arc::clone(clusters),
            view,
            on_virtual: objects.on_virtual.clone(),
            on_host: objects.on_host.clone(),
            queue: Queue::default(),
        });
        // Weak, as the caches live as long as the clusters do, and the controller holds those.
        let weak = Arc::downgrade(&mirror);
        objects.on_virtual.subscribe(move |change| {
            if let Some(mirror) = weak.upgrade() {
                mirror.wake(change.key.clone());
            }
        });
        let weak = Arc::downgrade(&mirror);
        objects.on_host.subscribe(move |change| {
            if let Some(mirror) = weak.upgrade() {
                mirror.wake(mirror.virtual_key(&change.key));
            }
        });
        mirror
    }

    /// Looks at the object at the virtual `key` again.
    pub(crate) fn wake(&self, key: ObjectKey) {
        self.queue.add(key);
    }

    /// Looks at all objects again.
    pub(crate) fn wake_all(&self) {
        for key in self.on_host.keys() {
            self.wake(self.virtual_key(&key));
        }
    }

    fn virtual_key(&self, host: &ObjectKey) -> ObjectKey {
        self.view.key.map_or_else(|| host.clone(), |key| key(host))
    }

    fn host_of(&self, key: &ObjectKey) -> Option<Arc<K>> {
        let Some(virtual_key) = self.view.key else {
            return self.on_host.get(key);
        };
        let is_its = |host: &ObjectKey| virtual_key(host) == *key;
        self.on_host
            .get(&self.on_host.keys().into_iter().find(is_its)?)
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
        let host = self.host_of(key);
        let host = host.filter(|host| !plan::is_deleting(host.as_ref()));
        let wanted = host.and_then(|host| (self.view.show)(&host, &self.clusters));
        match (wanted, shown) {
            (Some(wanted), shown) => {
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
    let mut wanted = plan::stamped(wanted);
    let shown_json = shown.map_or(Value::Null, as_json);
    let is_applied = shown.is_some_and(|shown| {
        shown.annotations().get(labels::APPLIED) == wanted.annotations().get(labels::APPLIED)
    });
    if !is_applied || !cover::covers(&shown_json, &as_json(&wanted)) {
        // What came of an older state must not undo what the tenant has done since.
        wanted.meta_mut().resource_version = shown.and_then(ResourceExt::resource_version);
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
