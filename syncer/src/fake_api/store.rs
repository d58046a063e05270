//! The objects of a fake cluster and their history.

use std::collections::BTreeMap;

use http::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{Answer, Refusal, patch, path::Path};

/// Objects by collection, namespace and name.
#[derive(Debug, Default)]
pub(super) struct Store {
    objects: BTreeMap<(String, String, String), Stored>,
    history: Vec<Event>,
    /// The newest version.
    pub(super) version: u64,
    /// The oldest version that the history still reaches back to.
    pub(super) oldest: u64,
    /// Grows when all watches end.
    pub(super) generation: u64,
    pub(super) written: Vec<Written>,
    pub(super) refusals: Vec<(Attempt, String, Refusal)>,
    uids: u64,
}

/// A request that changed something, or tried to.
#[derive(Debug, Clone)]
pub(crate) struct Written {
    pub(crate) author: &'static str,
    pub(crate) at: Instant,
    /// Method, collection and name.
    what: String,
}

impl Written {
    pub(super) fn new(author: &'static str, method: &Method, path: &Path, body: &Value) -> Self {
        let name = body["metadata"]["name"].as_str();
        let name = name.filter(|_| path.name.is_empty()).unwrap_or(&path.name);
        Self {
            author,
            at: Instant::now(),
            what: format!("{method} {}/{name}", path.collection),
        }
    }

    /// The name of the object that this makes in `collection`, if it does.
    pub(crate) fn made_in(&self, collection: &str) -> Option<String> {
        let rest = self.what.strip_prefix("POST ")?.strip_prefix(collection)?;
        Some(rest.strip_prefix('/')?.to_owned())
    }
}

/// What may be refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Attempt {
    Creation,
    /// As often as it is tried.
    EveryCreation,
    Change,
    /// Of a subresource, as often as it is tried.
    Subresource,
}

#[derive(Debug, Clone)]
struct Stored {
    object: Value,
    applied: Option<Value>,
}

#[derive(Debug)]
struct Event {
    version: u64,
    collection: String,
    /// The object before and after; a deleted one has its last state as both.
    before: Option<Value>,
    after: Value,
    is_deleted: bool,
}

impl Event {
    /// How a watch with this selector sees it, if it does.
    fn seen_by(&self, selector: Option<&str>) -> Option<Value> {
        let was = self
            .before
            .as_ref()
            .is_some_and(|before| matches(before, selector));
        let is = !self.is_deleted && matches(&self.after, selector);
        let type_ = match (was, is) {
            (false, false) => return None,
            (false, true) => "ADDED",
            (true, true) => "MODIFIED",
            (true, false) => "DELETED",
        };
        Some(json!({"type": type_, "object": self.after}))
    }
}

impl Store {
    pub(super) fn get(&self, path: &Path) -> Option<Value> {
        self.objects
            .get(&key(path))
            .map(|stored| stored.object.clone())
    }

    pub(super) fn list(&self, path: &Path, selector: Option<&str>) -> Vec<Value> {
        self.objects
            .iter()
            .filter(|((collection, namespace, _), _)| {
                *collection == path.collection
                    && path
                        .namespace
                        .as_ref()
                        .is_none_or(|wanted| wanted == namespace)
            })
            .map(|(_, stored)| stored.object.clone())
            .filter(|object| matches(object, selector))
            .collect()
    }

    pub(super) fn count(&self, path: &Path) -> usize {
        let keys = self.objects.keys();
        keys.filter(|(collection, ..)| *collection == path.collection)
            .count()
    }

    pub(super) fn as_list(&self, path: &Path, selector: Option<&str>) -> Value {
        json!({
            "kind": "List", "apiVersion": "v1",
            "metadata": {"resourceVersion": self.version.max(1).to_string()},
            "items": self.list(path, selector),
        })
    }

    pub(super) fn events_since(
        &self,
        path: &Path,
        selector: Option<&str>,
        since: u64,
    ) -> Vec<Value> {
        // In the order of their versions.
        let seen = self.history.partition_point(|event| event.version <= since);
        self.history[seen..]
            .iter()
            .filter(|event| event.collection == path.collection)
            .filter(|event| {
                let namespace = event.after["metadata"]["namespace"].as_str();
                path.namespace
                    .as_deref()
                    .is_none_or(|wanted| Some(wanted) == namespace)
            })
            .filter_map(|event| event.seen_by(selector))
            .collect()
    }

    pub(super) fn forget_history(&mut self) {
        self.history.clear();
        self.version += 1;
        self.oldest = self.version;
        self.generation += 1;
    }

    pub(super) fn put(&mut self, path: &Path, object: Value) -> Value {
        let applied = self
            .objects
            .get(&key(path))
            .and_then(|stored| stored.applied.clone());
        self.store(path, object, applied)
    }

    pub(super) fn remove(&mut self, path: &Path) {
        if let Some(stored) = self.objects.remove(&key(path)) {
            let before = stored.object;
            let mut after = before.clone();
            self.version += 1;
            after["metadata"]["resourceVersion"] = json!(self.version.to_string());
            self.history.push(Event {
                version: self.version,
                collection: path.collection.clone(),
                before: Some(before),
                after,
                is_deleted: true,
            });
        }
    }

    pub(super) fn post(&mut self, path: &Path, body: &Value) -> Answer {
        match path.subresource.as_deref() {
            None => self.create(path, body),
            Some("binding") => {
                let mut object = self.existing(path)?;
                object["spec"]["nodeName"] = body["target"]["name"].clone();
                Ok((StatusCode::CREATED, self.put(path, object)))
            }
            Some("token") => Ok((StatusCode::CREATED, token(body))),
            Some(other) => Err(Refusal::new(StatusCode::NOT_FOUND, other)),
        }
    }

    fn create(&mut self, path: &Path, body: &Value) -> Answer {
        let mut path = path.clone();
        path.name = body["metadata"]["name"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        if self.get(&path).is_some() {
            return Err(Refusal::new(
                StatusCode::CONFLICT,
                format!("{} already exists", path.name),
            ));
        }
        self.check_refusals(Attempt::Creation, &path)?;
        Ok((StatusCode::CREATED, self.put(&path, body.clone())))
    }

    /// The whole object anew, if it is still what its author read.
    pub(super) fn replace(&mut self, path: &Path, body: &Value) -> Answer {
        let existing = self.existing(path)?;
        check_preconditions(path, body, Some(&existing))?;
        Ok((StatusCode::OK, self.put(path, body.clone())))
    }

    pub(super) fn patch(&mut self, path: &Path, kind: &str, body: &Value) -> Answer {
        let existing = self.objects.get(&key(path)).cloned();
        check_preconditions(path, body, existing.as_ref().map(|stored| &stored.object))?;
        let is_apply = kind.contains("apply-patch");
        let Stored {
            mut object,
            applied,
        } = match existing {
            Some(stored) => {
                self.check_refusals(Attempt::Change, path)?;
                self.check_subresource(path)?;
                stored
            }
            None if is_apply && path.subresource.is_none() => {
                self.check_refusals(Attempt::Creation, path)?;
                Stored {
                    object: json!({"metadata": {"namespace": path.namespace}}),
                    applied: None,
                }
            }
            None => return Err(not_found(path)),
        };
        let mut body = body.clone();
        if let Some(meta) = body["metadata"].as_object_mut() {
            meta.remove("resourceVersion");
            meta.remove("uid");
        }
        let before = object.clone();
        let mut now_applied = applied.clone();
        match kind {
            _ if is_apply => {
                patch::apply(
                    &mut object,
                    &body,
                    applied.as_ref().filter(|_| path.subresource.is_none()),
                );
                if path.subresource.is_none() {
                    now_applied = Some(body);
                }
            }
            kind if kind.contains("strategic-merge") => patch::strategic(&mut object, &body),
            _ => patch::merge(&mut object, &body),
        }
        // A status changes through its subresource only, and nothing else does.
        match path.subresource.as_deref() {
            Some("status") => {
                let status = object["status"].clone();
                object = before.clone();
                object["status"] = status;
            }
            _ => match before.get("status") {
                Some(status) => object["status"] = status.clone(),
                None => {
                    object.as_object_mut().unwrap().remove("status");
                }
            },
        }
        if object == before {
            return Ok((StatusCode::OK, before));
        }
        let stored = self.store(path, object, now_applied);
        let meta = &stored["metadata"];
        if meta["deletionTimestamp"].is_string()
            && meta["deletionGracePeriodSeconds"] == 0
            && !has_finalizers(&stored)
        {
            self.remove(path);
        }
        Ok((StatusCode::OK, stored))
    }

    /// Pods that are bound keep their grace period, unless it is nought; all else goes at once, or
    /// when its finalizers do.
    pub(super) fn delete(&mut self, path: &Path, options: &Value) -> Answer {
        let mut object = self.existing(path)?;
        if let Some(uid) = options["preconditions"]["uid"].as_str()
            && object["metadata"]["uid"] != uid
        {
            return Err(Refusal::new(
                StatusCode::CONFLICT,
                "the uid in the precondition does not match",
            ));
        }
        let is_bound_pod =
            path.collection == "api/v1/pods" && object["spec"]["nodeName"].is_string();
        let asked = options["gracePeriodSeconds"].as_i64();
        let usual = object["spec"]["terminationGracePeriodSeconds"]
            .as_i64()
            .unwrap_or(30);
        let grace = if is_bound_pod {
            asked.unwrap_or(usual)
        } else {
            0
        };
        if grace == 0 && !has_finalizers(&object) {
            self.remove(path);
            return Ok((StatusCode::OK, object));
        }
        let before = object["metadata"]["deletionGracePeriodSeconds"].as_i64();
        object["metadata"]["deletionTimestamp"] = json!("2030-01-01T00:00:00Z");
        object["metadata"]["deletionGracePeriodSeconds"] =
            json!(before.map_or(grace, |before| before.min(grace)));
        Ok((StatusCode::OK, self.put(path, object)))
    }

    fn existing(&self, path: &Path) -> Result<Value, Refusal> {
        self.get(path).ok_or_else(|| not_found(path))
    }

    fn check_refusals(&mut self, attempt: Attempt, path: &Path) -> Result<(), Refusal> {
        let is_named = |name: &String| path.name.contains(name.as_str());
        let mut refusals = self.refusals.iter();
        if attempt == Attempt::Creation
            && let Some((_, _, refusal)) = refusals
                .find(|(refused, name, _)| *refused == Attempt::EveryCreation && is_named(name))
        {
            return Err(refusal.clone());
        }
        let mut refusals = self.refusals.iter();
        match refusals.position(|(refused, name, _)| *refused == attempt && is_named(name)) {
            Some(at) => Err(self.refusals.remove(at).2),
            None => Ok(()),
        }
    }

    fn check_subresource(&self, path: &Path) -> Result<(), Refusal> {
        let refusal = self.refusals.iter().find(|(attempt, name, _)| {
            *attempt == Attempt::Subresource && path.subresource.as_ref() == Some(name)
        });
        refusal.map_or(Ok(()), |(_, _, refusal)| Err(refusal.clone()))
    }

    fn store(&mut self, path: &Path, mut object: Value, applied: Option<Value>) -> Value {
        let existing = self
            .objects
            .get(&key(path))
            .map(|stored| stored.object.clone());
        self.version += 1;
        let meta = &mut object["metadata"];
        meta["name"] = json!(path.name);
        if let Some(namespace) = &path.namespace {
            meta["namespace"] = json!(namespace);
        }
        if meta["uid"].is_null() {
            self.uids += 1;
            meta["uid"] = existing.as_ref().map_or_else(
                || json!(format!("uid-{}", self.uids)),
                |object| object["metadata"]["uid"].clone(),
            );
        }
        meta["resourceVersion"] = json!(self.version.to_string());
        self.objects.insert(
            key(path),
            Stored {
                object: object.clone(),
                applied,
            },
        );
        self.history.push(Event {
            version: self.version,
            collection: path.collection.clone(),
            before: existing,
            after: object.clone(),
            is_deleted: false,
        });
        object
    }
}

fn key(path: &Path) -> (String, String, String) {
    (
        path.collection.clone(),
        path.namespace.clone().unwrap_or_default(),
        path.name.clone(),
    )
}

fn check_preconditions(path: &Path, body: &Value, existing: Option<&Value>) -> Result<(), Refusal> {
    let conflict = || {
        Refusal::new(
            StatusCode::CONFLICT,
            format!("{} has been modified", path.name),
        )
    };
    let actual = |field: &str| existing.and_then(|object| object["metadata"][field].as_str());
    if let Some(uid) = body["metadata"]["uid"].as_str()
        && actual("uid") != Some(uid)
    {
        return Err(conflict());
    }
    match body["metadata"]["resourceVersion"].as_str() {
        Some(version) if existing.is_some() && actual("resourceVersion") != Some(version) => {
            Err(conflict())
        }
        _ => Ok(()),
    }
}

fn has_finalizers(object: &Value) -> bool {
    object["metadata"]["finalizers"]
        .as_array()
        .is_some_and(|list| !list.is_empty())
}

fn not_found(path: &Path) -> Refusal {
    Refusal::new(StatusCode::NOT_FOUND, format!("{} not found", path.name))
}

/// Equality is all that the syncer asks for.
fn matches(object: &Value, selector: Option<&str>) -> bool {
    selector
        .unwrap_or_default()
        .split(',')
        .filter(|term| !term.is_empty())
        .all(|term| {
            let (key, value) = term.split_once('=').unwrap();
            object["metadata"]["labels"][key] == value
        })
}

fn token(body: &Value) -> Value {
    json!({
        "apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest",
        "spec": body["spec"],
        "status": {
            "token": format!("token-of-{}", body["spec"]["boundObjectRef"]["uid"].as_str().unwrap_or_default()),
            "expirationTimestamp": "2100-01-01T00:00:00Z",
        },
    })
}
