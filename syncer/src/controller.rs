//! Carries out plans: one controller per resource, one queue of virtual keys, both sides' changes
//! leading to the same key. So the two halves of a pair are never worked on at the same time.

use std::{
    collections::{HashMap, hash_map::DefaultHasher},
    hash::{Hash, Hasher},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use http::StatusCode;
use kube::{Resource, ResourceExt};
use serde_json::{Value, json};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, debug, debug_span, warn};

use crate::{
    addons,
    cache::Cache,
    caches::Pair,
    chain::Chain,
    clusters::Clusters,
    cover, metadata,
    object_key::ObjectKey,
    plan::{Step, Twins},
    queue::{Outcome, Queue},
    resource::{ResourceSyncer, Synced},
    worker,
    write::{self, Merge},
};

/// How long a step that was taken is trusted to show in the caches.
const SETTLING: Duration = Duration::from_secs(2);

/// Keeps all objects of one kind in step.
pub(crate) struct Controller<R: ResourceSyncer> {
    clusters: Arc<Clusters>,
    virtual_objects: Cache<R::Object>,
    host_objects: Cache<R::Object>,
    queue: Queue<ObjectKey>,
    taken: Mutex<HashMap<ObjectKey, Taken>>,
}

/// What was done last for a key, and when. The caches lag behind our own writes, and a host may
/// change what we write; either way, the same steps on the same state lead nowhere.
struct Taken {
    fingerprint: u64,
    at: Instant,
}

impl<R: ResourceSyncer> Controller<R> {
    /// A controller that hears of every change on both sides.
    pub(crate) fn new(clusters: &Arc<Clusters>, objects: &Pair<R::Object>) -> Arc<Self> {
        let (virtual_objects, host_objects) = (&objects.on_virtual, &objects.on_host);
        let controller = Arc::new(Self {
            clusters: Arc::clone(clusters),
            virtual_objects: virtual_objects.clone(),
            host_objects: host_objects.clone(),
            queue: Queue::default(),
            taken: Mutex::default(),
        });
        // Weak, as the caches live as long as the clusters do, and the controller holds those.
        let weak = Arc::downgrade(&controller);
        virtual_objects.subscribe(move |change| {
            if let Some(controller) = weak.upgrade() {
                controller.queue.add(change.key.clone());
            }
        });
        let weak = Arc::downgrade(&controller);
        host_objects.subscribe(move |change| {
            let Some(controller) = weak.upgrade() else {
                return;
            };
            // Both, since somebody may have changed the annotations.
            for object in [&change.before, &change.after].into_iter().flatten() {
                if let Some(identity) =
                    metadata::identity(object.as_ref(), &controller.clusters.names)
                {
                    controller.queue.add(identity.key);
                }
            }
        });
        controller
    }

    /// Looks at the object at `key` again.
    pub(crate) fn wake(&self, key: ObjectKey) {
        self.queue.add(key);
    }

    /// Works until `stop`, then finishes what was begun.
    pub(crate) async fn run(self: Arc<Self>, stop: CancellationToken) {
        worker::work(&self.queue, &stop, |key| {
            let controller = Arc::clone(&self);
            async move { controller.turn(&key).await }
        })
        .await;
    }

    async fn turn(&self, key: &ObjectKey) -> Outcome {
        let kind = kind_name::<R>();
        let span = debug_span!("reconcile", kind, object = %key);
        let start = Instant::now();
        let result = self.reconcile(key).instrument(span).await;
        let has_failed = result.is_err();
        let outcome = match result {
            Ok(outcome) => outcome,
            Err(error) => self.on_error(key, &error).await,
        };
        self.clusters
            .metrics
            .turn(kind, start.elapsed(), has_failed, self.queue.len());
        outcome
    }

    /// Decides what to do about the pair at `key` as it is now, and does it.
    async fn reconcile(&self, key: &ObjectKey) -> Result<Outcome, write::Error> {
        let start = Instant::now();
        let twins = self.twins(key);
        let cx = self.clusters.translation::<R>(key);
        let steps = match R::plan(&twins, &cx) {
            Ok(steps) => steps,
            Err(error) => {
                if let Some(object) = &twins.virtual_object {
                    self.clusters
                        .warnings
                        .publish(object.as_ref(), "SyncError", &error.to_string())
                        .await;
                }
                return Ok(Outcome::Done);
            }
        };
        if steps.is_empty() {
            self.taken().remove(key);
            return Ok(Outcome::Done);
        }
        let fingerprint = fingerprint(&twins, &steps);
        let is_taken = self.taken().get(key).is_some_and(|taken| {
            taken.fingerprint == fingerprint
                && (changes_only(&steps) || taken.at.elapsed() < SETTLING)
        });
        if is_taken {
            debug!("waiting for the last steps to show");
            return Ok(if changes_only(&steps) {
                Outcome::Done
            } else {
                Outcome::After(SETTLING)
            });
        }
        if let Some(first) = steps.first() {
            let took = self.queue.waited(key) + start.elapsed();
            let metrics = &self.clusters.metrics;
            metrics.decision(kind_name::<R>(), name_of(first), took);
        }
        for step in &steps {
            if let Some(pause) = self.take(&twins, step).await? {
                return Ok(Outcome::After(pause));
            }
        }
        let taken = Taken {
            fingerprint,
            at: Instant::now(),
        };
        self.taken().insert(key.clone(), taken);
        if steps.iter().any(goes_to_host)
            && let Some(object) = &twins.virtual_object
        {
            let of_its_kind = R::withheld(object, &cx);
            let of_any_kind = addons::withheld(object.meta(), &cx.facts.sync.to_host);
            let told: Vec<_> = of_its_kind.into_iter().chain(of_any_kind).collect();
            if !told.is_empty() {
                let warnings = &self.clusters.warnings;
                warnings
                    .publish(object.as_ref(), "PartlySynced", &told.join(". "))
                    .await;
            }
        }
        Ok(Outcome::Done)
    }

    fn twins(&self, key: &ObjectKey) -> Twins<R::Object> {
        let host_key = self.clusters.names.host_key(key);
        Twins {
            virtual_object: self.virtual_objects.get(key),
            // One that does not say it is the twin is somebody else's.
            host_object: self.host_objects.get(&host_key).filter(|host| {
                metadata::identity(host.as_ref(), &self.clusters.names)
                    .is_some_and(|identity| identity.key == *key)
                    && !metadata::is_controlled_elsewhere(host.as_ref())
            }),
            key: key.clone(),
        }
    }

    /// Does one thing. A pause means that the rest must wait.
    async fn take(
        &self,
        twins: &Twins<R::Object>,
        step: &Step<R::Object>,
    ) -> Result<Option<Duration>, write::Error> {
        debug!(step = name_of(step), "step");
        let (on_host, on_virtual) = (&self.clusters.on_host, &self.clusters.on_virtual);
        let host_key = self.clusters.names.host_key(&twins.key);
        match step {
            Step::CreateHost(object) if R::is_applied() => on_host.create(object.as_ref()).await?,
            Step::CreateHost(object) => on_host.create_plainly(object.as_ref()).await?,
            Step::ApplyHost { object, uid } => on_host.apply(object.as_ref(), uid).await?,
            Step::PatchHost { patch, subresource } => {
                on_host
                    .merge::<R::Object>(&host_key, Merge::Strategic(patch), *subresource)
                    .await?;
            }
            Step::DeleteHost { uid, grace } => {
                on_host.delete::<R::Object>(&host_key, uid, *grace).await?;
            }
            Step::PatchVirtual { from, to } => {
                for (patch, subresource) in patches(from.as_ref(), to.as_ref()) {
                    on_virtual
                        .merge::<R::Object>(&twins.key, Merge::Plain(&patch), subresource)
                        .await?;
                }
            }
            Step::DeleteVirtual { uid, grace } => {
                on_virtual
                    .delete::<R::Object>(&twins.key, uid, Some(*grace))
                    .await?;
            }
            Step::RecreateVirtual { uid, object } => {
                on_virtual
                    .delete::<R::Object>(&twins.key, uid, None)
                    .await?;
                on_virtual.create_new(object.as_ref()).await?;
            }
            Step::Bind { node, uid } => {
                let binding = json!({
                    "apiVersion": "v1",
                    "kind": "Binding",
                    "metadata": {"name": twins.key.name, "namespace": twins.key.namespace, "uid": uid},
                    "target": {"apiVersion": "v1", "kind": "Node", "name": node},
                });
                on_virtual
                    .post::<R::Object>("bind", &twins.key, "binding", &binding)
                    .await?;
            }
            Step::Await { what, millis } => {
                debug!(what, "waiting");
                return Ok(Some(Duration::from_millis(*millis)));
            }
        }
        Ok(None)
    }

    async fn on_error(&self, key: &ObjectKey, error: &write::Error) -> Outcome {
        if error.side == write::Side::Host
            && error.is(StatusCode::CONFLICT)
            && error.action == "create"
        {
            return self.on_conflict(key).await;
        }
        if error.is_stale() {
            debug!(object = %key, error = %Chain(error), "stale, trying again");
            return QUICK;
        }
        if error.side == write::Side::Host && error.is_refusal() {
            if let Some(step) = self.remedy(key, error) {
                return match self.take(&self.twins(key), &step).await {
                    Ok(_) => Outcome::Done,
                    Err(error) => {
                        warn!(object = %key, error = %Chain(&error), "could not mend what the host refused");
                        QUICK
                    }
                };
            }
            let problem = error
                .status()
                .map_or_else(String::new, |status| status.message.clone());
            debug!(object = %key, error = %Chain(error), "refused");
            self.tell(key, &problem).await;
            return PATIENT;
        }
        // A whole cluster that is busy is no news of each object.
        if error.is_overload() {
            debug!(object = %key, error = %Chain(error), "too busy");
        } else {
            warn!(object = %key, error = %Chain(error), "could not sync");
        }
        error.again(SOON, LATE)
    }

    /// What the resource itself can do about a refusal.
    fn remedy(&self, key: &ObjectKey, error: &write::Error) -> Option<Step<R::Object>> {
        R::after_refusal(self.virtual_objects.get(key)?.as_ref(), error.status()?)
    }

    /// Looks at what stands in the way on the host, since the cache shows only what carries our
    /// label.
    async fn on_conflict(&self, key: &ObjectKey) -> Outcome {
        let host_key = self.clusters.names.host_key(key);
        let on_host = &self.clusters.on_host;
        let api = R::Object::api(on_host.client(), host_key.namespace.as_deref());
        let Ok(Some(found)) = api.get_metadata_opt(&host_key.name).await else {
            return QUICK;
        };
        let names = &self.clusters.names;
        if metadata::identity(&found, names).is_none_or(|identity| identity.key != *key) {
            self.tell(
                key,
                "an object of that name is on the host already and belongs to somebody else",
            )
            .await;
            return PATIENT;
        }
        if metadata::is_marked(&found, names) {
            // Our own, made a moment ago and not in the cache yet.
            return QUICK;
        }
        // Our own, and somebody took the label away.
        let patch = metadata::marks(key, found.metadata.uid.as_deref(), names);
        match on_host
            .merge::<R::Object>(&host_key, Merge::Plain(&patch), None)
            .await
        {
            Ok(()) => Outcome::Done,
            Err(error) => {
                warn!(object = %key, error = %Chain(&error), "could not mark as ours again");
                QUICK
            }
        }
    }

    async fn tell(&self, key: &ObjectKey, problem: &str) {
        if let Some(object) = self.virtual_objects.get(key) {
            self.clusters
                .warnings
                .publish(object.as_ref(), "SyncError", problem)
                .await;
        }
    }

    fn taken(&self) -> std::sync::MutexGuard<'_, HashMap<ObjectKey, Taken>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// For what passes by itself.
const QUICK: Outcome = Outcome::Failed {
    first: SOON,
    longest: LATE,
};
const SOON: Duration = Duration::from_millis(20);
const LATE: Duration = Duration::from_secs(10);
/// For what somebody must mend.
const PATIENT: Outcome = Outcome::Failed {
    first: Duration::from_secs(1),
    longest: Duration::from_mins(1),
};

/// The patches that lead from one virtual object to the other: what is no status, and the status.
fn patches<K: serde::Serialize + Resource>(from: &K, to: &K) -> Vec<(Value, Option<&'static str>)> {
    // Types of the Kubernetes API always have a JSON form.
    let mut from_value = serde_json::to_value(from).unwrap_or_default();
    let mut to_value = serde_json::to_value(to).unwrap_or_default();
    let status = |value: &mut Value| {
        value
            .as_object_mut()
            .and_then(|map| map.remove("status"))
            .unwrap_or_else(|| json!({}))
    };
    let (from_status, to_status) = (status(&mut from_value), status(&mut to_value));
    // The uid makes sure that the patch does not hit another object of the same name.
    let guarded = |mut patch: Value| {
        patch["metadata"]["uid"] = json!(from.meta().uid);
        patch
    };
    let rest = cover::merge_patch(&from_value, &to_value).map(|patch| (guarded(patch), None));
    let status = cover::merge_patch(&from_status, &to_status)
        .map(|patch| (guarded(json!({ "status": patch })), Some("status")));
    rest.into_iter().chain(status).collect()
}

/// Do the steps only change what is there already? Such steps may be without effect for good.
fn changes_only<K>(steps: &[Step<K>]) -> bool {
    steps.iter().all(|step| {
        matches!(
            step,
            Step::ApplyHost { .. } | Step::PatchVirtual { .. } | Step::PatchHost { .. }
        )
    })
}

/// Does the step bring the virtual object's content to the host?
fn goes_to_host<K>(step: &Step<K>) -> bool {
    matches!(step, Step::CreateHost(_) | Step::ApplyHost { .. })
}

/// Tells steps on a state apart from others.
fn fingerprint<K: Resource + std::fmt::Debug>(twins: &Twins<K>, steps: &[Step<K>]) -> u64 {
    let mut hasher = DefaultHasher::new();
    let version = |object: &Option<Arc<K>>| {
        object.as_ref().map(|object| {
            (
                object.meta().uid.clone(),
                object.meta().resource_version.clone(),
            )
        })
    };
    version(&twins.virtual_object).hash(&mut hasher);
    version(&twins.host_object).hash(&mut hasher);
    for step in steps {
        name_of(step).hash(&mut hasher);
        if let Step::ApplyHost { object, .. } | Step::CreateHost(object) = step {
            object.annotations().hash(&mut hasher);
        }
    }
    hasher.finish()
}

fn name_of<K>(step: &Step<K>) -> &'static str {
    match step {
        Step::CreateHost(_) => "create-host",
        Step::ApplyHost { .. } => "apply-host",
        Step::PatchHost { .. } => "patch-host",
        Step::DeleteHost { .. } => "delete-host",
        Step::PatchVirtual { .. } => "patch-virtual",
        Step::DeleteVirtual { .. } => "delete-virtual",
        Step::RecreateVirtual { .. } => "recreate-virtual",
        Step::Bind { .. } => "bind",
        Step::Await { .. } => "await",
    }
}

/// The kind of `R`'s objects, for logs and metrics.
fn kind_name<R: ResourceSyncer>() -> &'static str {
    <R::Object as k8s_openapi::Resource>::KIND
}
