//! One watch's view of the world: every object of a kind on one side, and who wants to hear of
//! changes. There is one watch per kind and side, however many read it.

use std::{
    fmt,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use futures::StreamExt;
use kube::{
    Api,
    runtime::watcher::{self, Event, watcher},
};
use tokio::{sync::watch, time::sleep};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::{
    object_key::ObjectKey,
    objects::{Form, Objects},
    resource::Synced,
};

/// A shared, read-only view of all objects of one kind on one side.
pub struct Cache<K> {
    inner: Arc<Inner<K>>,
}

struct Inner<K> {
    objects: RwLock<Objects<K>>,
    subscribers: RwLock<Vec<Subscriber<K>>>,
    is_ready: watch::Sender<bool>,
}

type Subscriber<K> = Box<dyn Fn(&Change<K>) + Send + Sync>;

/// One object's step from what it was to what it is.
#[derive(Debug)]
pub struct Change<K> {
    /// Which object.
    pub key: ObjectKey,
    /// As it was known before; none when it is new.
    pub before: Option<Arc<K>>,
    /// As it is now; none when it is gone.
    pub after: Option<Arc<K>>,
}

impl<K> Change<K> {
    /// The newest that is known of the object, even when it is gone.
    pub fn newest(&self) -> Option<&Arc<K>> {
        self.after.as_ref().or(self.before.as_ref())
    }
}

impl<K> Clone for Cache<K> {
    fn clone(&self) -> Self {
        Self {
            inner: Arc::clone(&self.inner),
        }
    }
}

impl<K> Default for Cache<K> {
    fn default() -> Self {
        Self::new(Form::Whole)
    }
}

impl<K> Cache<K> {
    /// An empty one for a kind of which there may be thousands of objects, each of which is looked up by
    /// its key. To look through all of them takes long.
    pub fn packed() -> Self {
        Self::new(Form::Packed)
    }

    fn new(form: Form) -> Self {
        Self {
            inner: Arc::new(Inner {
                objects: RwLock::new(Objects::new(form)),
                subscribers: RwLock::default(),
                is_ready: watch::Sender::new(false),
            }),
        }
    }
}

impl<K> fmt::Debug for Cache<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache")
            .field("len", &self.len())
            .field("is_ready", &self.is_ready())
            .finish_non_exhaustive()
    }
}

impl<K> Cache<K> {
    /// Is there an object at `key`?
    pub fn contains(&self, key: &ObjectKey) -> bool {
        self.read(|objects| objects.contains(key))
    }

    /// The keys of all objects.
    pub fn keys(&self) -> Vec<ObjectKey> {
        self.read(|objects| objects.keys().cloned().collect())
    }

    /// How many objects there are.
    pub fn len(&self) -> usize {
        self.read(Objects::len)
    }

    /// Are there none?
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Has the whole list been seen once?
    pub fn is_ready(&self) -> bool {
        *self.inner.is_ready.borrow()
    }

    /// Waits until the whole list has been seen once.
    pub async fn wait_until_ready(&self) {
        let mut is_ready = self.inner.is_ready.subscribe();
        // The sender lives in `inner`, so the wait cannot fail while `self` is there.
        let _ready = is_ready.wait_for(|is_ready| *is_ready).await;
    }

    fn read<T>(&self, read: impl FnOnce(&Objects<K>) -> T) -> T {
        read(
            &self
                .inner
                .objects
                .read()
                .unwrap_or_else(PoisonError::into_inner),
        )
    }

    fn write<T>(&self, write: impl FnOnce(&mut Objects<K>) -> T) -> T {
        write(
            &mut self
                .inner
                .objects
                .write()
                .unwrap_or_else(PoisonError::into_inner),
        )
    }

    fn publish(&self, change: &Change<K>) {
        let subscribers = self
            .inner
            .subscribers
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        for subscriber in subscribers.iter() {
            subscriber(change);
        }
    }
}

impl<K: Synced> Cache<K> {
    /// The object at `key`, as last seen.
    pub fn get(&self, key: &ObjectKey) -> Option<Arc<K>> {
        self.read(|objects| objects.get(key))
    }

    /// All objects for which `is_wanted` says yes. It must be quick: it holds up the watch.
    pub fn filter(&self, mut is_wanted: impl FnMut(&K) -> bool) -> Vec<Arc<K>> {
        self.read(|objects| {
            objects
                .values()
                .filter(|object| is_wanted(object))
                .collect()
        })
    }

    /// Does `is_wanted` say yes to any object?
    pub fn any(&self, mut is_wanted: impl FnMut(&K) -> bool) -> bool {
        self.read(|objects| objects.values().any(|object| is_wanted(&object)))
    }

    /// Calls `subscriber` for everything that is there, as if it came now, and for every change from
    /// now on, in the order of subscription. It runs within the watch and must be quick.
    pub fn subscribe(&self, subscriber: impl Fn(&Change<K>) + Send + Sync + 'static) {
        // Held all the while, so that no change is missed; one may be told twice.
        let mut subscribers = self
            .inner
            .subscribers
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        for key in self.keys() {
            if let Some(after) = self.get(&key) {
                subscriber(&Change {
                    key,
                    before: None,
                    after: Some(after),
                });
            }
        }
        subscribers.push(Box::new(subscriber));
    }

    /// Replaces everything that is known by `objects` and tells what changed.
    fn replace(&self, objects: Objects<K>) {
        let mut old = self.write(|current| std::mem::replace(current, objects));
        for key in self.keys() {
            let before = old.remove(&key);
            self.publish(&Change {
                before,
                after: self.get(&key),
                key,
            });
        }
        let lost: Vec<_> = old.keys().cloned().collect();
        for key in lost {
            self.publish(&Change {
                before: old.remove(&key),
                after: None,
                key,
            });
        }
        self.inner.is_ready.send_replace(true);
    }

    /// None of this kind's objects, for a list that begins.
    fn none(&self) -> Objects<K> {
        Objects::new(self.read(Objects::form))
    }

    /// Puts one object in, as if the watch had seen it.
    pub(crate) fn insert(&self, object: K) {
        let key = ObjectKey::of(&object);
        let after = Arc::new(object);
        let before = self.write(|objects| objects.insert(key.clone(), &after));
        self.publish(&Change {
            key,
            before,
            after: Some(after),
        });
    }

    /// Takes one object out, as if the watch had seen it go.
    pub(crate) fn remove(&self, object: K) {
        let key = ObjectKey::of(&object);
        let before = self
            .write(|objects| objects.remove(&key))
            .or(Some(Arc::new(object)));
        self.publish(&Change {
            key,
            before,
            after: None,
        });
    }

    /// Keeps the view up to date until `stop`. `trim` drops what nobody reads, so that it takes no
    /// memory.
    pub(crate) async fn watch(
        self,
        api: Api<K>,
        config: watcher::Config,
        trim: fn(&mut K),
        stop: CancellationToken,
    ) {
        let mut events = watcher(api.clone(), config.clone()).boxed();
        let mut listed = self.none();
        let mut failures = 0;
        // Either branch may be dropped half-way: the stream keeps its state in itself.
        while let Some(Some(event)) = stop.run_until_cancelled(events.next()).await {
            match event.map(|event| {
                event.modify(|object| {
                    object.meta_mut().managed_fields = None;
                    trim(object);
                })
            }) {
                Ok(Event::Apply(object)) => self.insert(object),
                Ok(Event::Delete(object)) => self.remove(object),
                Ok(Event::Init) => listed = self.none(),
                Ok(Event::InitApply(object)) => {
                    listed.insert(ObjectKey::of(&object), &Arc::new(object));
                }
                Ok(Event::InitDone) => {
                    let none = self.none();
                    self.replace(std::mem::replace(&mut listed, none));
                }
                Err(error) => {
                    self.report(&error, failures);
                    if is_refused_for_age(&error) {
                        // The watcher would ask for the same old version for ever.
                        events = watcher(api.clone(), config.clone()).boxed();
                    }
                    let pause = pause_after(failures, self.is_ready());
                    failures += 1;
                    if stop.run_until_cancelled(sleep(pause)).await.is_none() {
                        return;
                    }
                    continue;
                }
            }
            failures = 0;
        }
    }

    fn report(&self, error: &watcher::Error, failures: u32) {
        let kind = K::kind(&());
        // An API server that has not started yet, or a watch that ran out, is the way of things.
        if self.is_ready() && failures > 0 {
            warn!(%kind, %error, failures, "watch failed");
        } else {
            debug!(%kind, %error, failures, "watch failed");
        }
    }
}

/// Was a watch refused before it began because the server forgot that far back? Some proxies answer
/// so; API servers say it within the watch, which the watcher understands.
fn is_refused_for_age(error: &watcher::Error) -> bool {
    match error {
        watcher::Error::WatchStartFailed(kube::Error::Api(status)) => status.code == 410,
        _ => false,
    }
}

/// How long to wait after the n-th failure in a row. A server that is starting is asked often, so
/// that no time is lost; one that was there before is left in peace.
pub(crate) fn pause_after(failures: u32, was_ready: bool) -> Duration {
    let longest = if was_ready { 5_000 } else { 100 };
    Duration::from_millis(50_u64.saturating_mul(1 << failures.min(10)).min(longest))
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use k8s_openapi::api::core::v1::ConfigMap;

    use super::*;
    use crate::metadata::tests::meta;

    fn config_map(name: &str) -> ConfigMap {
        ConfigMap {
            metadata: meta("default", name),
            ..ConfigMap::default()
        }
    }

    fn listed(names: &[&str]) -> Objects<ConfigMap> {
        let mut listed = Objects::new(Form::Whole);
        for object in names.iter().map(|name| config_map(name)) {
            listed.insert(ObjectKey::of(&object), &Arc::new(object));
        }
        listed
    }

    #[test]
    fn a_new_list_tells_what_vanished_meanwhile() {
        let cache = Cache::default();
        cache.replace(listed(&["kept", "lost"]));
        let seen = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&seen);
        cache.subscribe(move |change: &Change<ConfigMap>| {
            let mut seen = sink.lock().unwrap();
            seen.push((
                change.key.name.clone(),
                change.before.is_some(),
                change.after.is_some(),
            ));
        });
        seen.lock().unwrap().clear();
        cache.replace(listed(&["kept", "new"]));
        let mut seen = seen.lock().unwrap().clone();
        seen.sort();
        let expected = [
            ("kept", true, true),
            ("lost", true, false),
            ("new", false, true),
        ];
        assert_eq!(
            seen,
            expected.map(|(name, before, after)| (name.to_owned(), before, after))
        );
    }

    #[test]
    fn who_comes_late_is_told_of_all_that_is_there() {
        let cache = Cache::default();
        cache.replace(listed(&["old", "lost"]));
        cache.remove(config_map("lost"));
        let seen = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&seen);
        cache.subscribe(move |change: &Change<ConfigMap>| {
            let mut seen = sink.lock().unwrap();
            seen.push((change.key.name.clone(), change.before.is_some()));
        });
        cache.insert(config_map("new"));
        let expected = ["old", "new"].map(|name| (name.to_owned(), false));
        assert_eq!(*seen.lock().unwrap(), expected);
    }

    #[test]
    fn what_was_deleted_is_told_to_the_last() {
        let cache = Cache::default();
        cache.insert(config_map("web"));
        let told = Arc::new(Mutex::new(None));
        let sink = Arc::clone(&told);
        cache.subscribe(move |change: &Change<ConfigMap>| {
            *sink.lock().unwrap() = change.newest().map(|object| object.metadata.uid.clone());
        });
        cache.remove(config_map("web"));
        assert_eq!(*told.lock().unwrap(), Some(Some("uid-of-web".to_owned())));
        assert!(cache.is_empty());
    }

    #[tokio::test]
    async fn a_cache_is_ready_after_its_first_list() {
        let cache = Cache::<ConfigMap>::default();
        assert!(!cache.is_ready());
        cache.replace(listed(&[]));
        cache.wait_until_ready().await;
    }

    #[test]
    fn a_starting_server_is_asked_often() {
        assert!(
            (0..100).all(|failures| pause_after(failures, false) <= Duration::from_millis(100))
        );
        assert_eq!(pause_after(50, true), Duration::from_secs(5));
    }
}
