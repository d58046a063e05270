//! Writing to one side: every request that changes something goes through here, with this
//! project's field manager and with the uid of what it is meant for.

use std::{
    collections::{HashMap, HashSet},
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use http::{StatusCode, header::RETRY_AFTER};
use http_body_util::BodyExt;
use kube::{
    Client,
    api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions},
    client::Body,
    core::{Request, Status},
};
use serde_json::{Value, json};
use tokio::time::{Instant, timeout};

use crate::{
    election::Mandate,
    labels,
    metrics::{self, Metrics},
    object_key::ObjectKey,
    queue::Outcome,
    resource::Synced,
    silence, unknown_fields,
};

/// One of the two clusters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Side {
    /// The virtual cluster.
    Virtual,
    /// The host.
    Host,
}

impl Side {
    /// It in one word.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Virtual => "virtual",
            Self::Host => "host",
        }
    }
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Virtual => "the virtual cluster",
            Self::Host => "the host",
        })
    }
}

/// A patch that says only what changes.
#[derive(Debug, Clone, Copy)]
pub enum Merge<'a> {
    /// RFC 7396: lists are taken whole.
    Plain(&'a Value),
    /// Kubernetes' own: finds the items of lists by their names.
    Strategic(&'a Value),
}

/// Writes to one side.
pub struct Writer {
    client: Client,
    side: Side,
    metrics: Arc<Metrics>,
    mandate: Arc<Mandate>,
    /// Fields that this side's version of Kubernetes does not know, by kind.
    unknown: Mutex<HashMap<String, HashSet<Vec<String>>>>,
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer")
            .field("side", &self.side)
            .finish_non_exhaustive()
    }
}

/// A write that failed.
#[derive(Debug, thiserror::Error)]
#[error("could not {action} {kind} {object} on {side}")]
pub struct Error {
    /// What was tried.
    pub action: &'static str,
    /// The object's kind.
    pub kind: String,
    /// The object.
    pub object: ObjectKey,
    /// Where.
    pub side: Side,
    /// How long the server wants to be left in peace, if it says so.
    pub retry_after: Option<Duration>,
    /// What the server said.
    #[source]
    pub source: Box<kube::Error>,
}

/// Why there was no answer.
#[derive(Debug, thiserror::Error)]
enum Lost {
    #[error("another syncer may be the one that works by now, so it was not sent")]
    NotLeading,
    #[error("no answer within {} s", PATIENCE.as_secs())]
    Silence,
}

/// How long a write may take, with the wait for its turn.
const PATIENCE: Duration = silence::PATIENCE.saturating_add(Duration::from_secs(5));
/// The longest time that a server is left in peace when it asks for it.
const LONGEST_PEACE: Duration = Duration::from_mins(1);

impl Error {
    /// What the server answered, if it was reached.
    pub fn status(&self) -> Option<&Status> {
        match self.source.as_ref() {
            kube::Error::Api(status) => Some(status),
            _ => None,
        }
    }

    /// Did the server answer with this code?
    pub fn is(&self, code: StatusCode) -> bool {
        self.status()
            .is_some_and(|status| status.code == code.as_u16())
    }

    /// Does the server not know the resource at all, as one of an older version?
    pub fn is_unknown_resource(&self) -> bool {
        // A path that nobody handles is answered in plain text, not with a status that has a reason.
        let is_no_object = |status: &Status| status.reason != "NotFound";
        self.is(StatusCode::NOT_FOUND) && self.status().is_some_and(is_no_object)
    }

    /// Was the write meant for another state, or another object of the name, than is there?
    pub fn is_stale(&self) -> bool {
        // A merge patch that names another uid is taken for an attempt to change it.
        let is_other_uid = |status: &Status| {
            let causes = status.details.iter().flat_map(|details| &details.causes);
            causes
                .into_iter()
                .any(|cause| cause.field == "metadata.uid")
        };
        // What is made was not there before; then it is the namespace that is missing.
        let is_gone = self.is(StatusCode::NOT_FOUND) && self.action != "create";
        self.is(StatusCode::CONFLICT)
            || is_gone && !self.is_unknown_resource()
            || self.status().is_some_and(is_other_uid)
    }

    /// Was the server too busy to look at it?
    pub fn is_overload(&self) -> bool {
        self.is(StatusCode::TOO_MANY_REQUESTS) || self.is(StatusCode::SERVICE_UNAVAILABLE)
    }

    /// When to try again: after `first` and then ever later, but not before the server wants to hear
    /// of us again.
    pub(crate) fn again(&self, first: Duration, longest: Duration) -> Outcome {
        let least = self.retry_after.unwrap_or_default();
        Outcome::Failed {
            first: first.max(least),
            longest: longest.max(least),
        }
    }

    /// Did the server refuse the object for what it is, so that trying again helps only when
    /// something changes?
    pub fn is_refusal(&self) -> bool {
        self.is(StatusCode::UNPROCESSABLE_ENTITY)
            || self.is(StatusCode::FORBIDDEN)
            || self.is(StatusCode::BAD_REQUEST)
            || self.is(StatusCode::NOT_FOUND) && !self.is_stale()
    }
}

impl Writer {
    /// Writes to `side` with `client` while `mandate` holds, and counts in `metrics`.
    pub fn new(client: Client, side: Side, metrics: &Arc<Metrics>, mandate: &Arc<Mandate>) -> Self {
        Self {
            client,
            side,
            metrics: Arc::clone(metrics),
            mandate: Arc::clone(mandate),
            unknown: Mutex::default(),
        }
    }

    /// The client, to read with.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Makes an object that must not be there; `CONFLICT` when it is.
    pub async fn create<K: Synced>(&self, object: &K) -> Result<(), Error> {
        // No object ever has this version, so the server takes it only for one that does not exist.
        self.apply_with("create", object, ("resourceVersion", "1"))
            .await
    }

    /// Makes an object of which only some fields are patched later; `CONFLICT` when it is there.
    pub async fn create_plainly<K: Synced>(&self, object: &K) -> Result<(), Error> {
        let params = PostParams {
            field_manager: Some(self.field_manager().to_owned()),
            ..PostParams::default()
        };
        self.create_with(object, &params).await
    }

    /// Makes an object as its author would, so that its fields are not this syncer's.
    pub async fn create_new<K: Synced>(&self, object: &K) -> Result<(), Error> {
        self.create_with(object, &PostParams::default()).await
    }

    async fn create_with<K: Synced>(&self, object: &K, params: &PostParams) -> Result<(), Error> {
        let key = ObjectKey::of(object);
        let body = self.as_json("create", object)?.to_string();
        let request = Self::collection::<K>(&key).create(params, body.into_bytes());
        self.send::<K>("create", &key, request).await
    }

    /// Brings the object with this uid into the given shape; `CONFLICT` when it is another one.
    pub async fn apply<K: Synced>(&self, object: &K, uid: &str) -> Result<(), Error> {
        self.apply_with("apply", object, ("uid", uid)).await
    }

    /// Makes an object or brings it into the given shape, whoever made it. For what is entirely
    /// this syncer's own.
    pub async fn own<K: Synced>(&self, object: &K) -> Result<(), Error> {
        let body = self.as_json("apply", object)?;
        self.send_apply("apply", object, body).await
    }

    /// Merges a patch into the object at `key`, or into a subresource of it.
    pub async fn merge<K: Synced>(
        &self,
        key: &ObjectKey,
        patch: Merge<'_>,
        subresource: Option<&str>,
    ) -> Result<(), Error> {
        let params = PatchParams {
            field_manager: Some(self.field_manager().to_owned()),
            ..PatchParams::default()
        };
        let patch = match patch {
            Merge::Plain(patch) => Patch::Merge(patch),
            Merge::Strategic(patch) => Patch::Strategic(patch),
        };
        self.patch::<K>("patch", key, &params, &patch, subresource)
            .await
    }

    /// Deletes the object at `key` if it still has this uid. One that is gone is deleted well.
    pub async fn delete<K: Synced>(
        &self,
        key: &ObjectKey,
        uid: &str,
        grace: Option<i64>,
    ) -> Result<(), Error> {
        let params = DeleteParams {
            grace_period_seconds: grace.and_then(|grace| u32::try_from(grace).ok()),
            preconditions: (!uid.is_empty()).then(|| Preconditions {
                uid: Some(uid.to_owned()),
                resource_version: None,
            }),
            ..DeleteParams::default()
        };
        let request = Self::collection::<K>(key).delete(&key.name, &params);
        match self.send::<K>("delete", key, request).await {
            Err(error) if error.is(StatusCode::NOT_FOUND) => Ok(()),
            result => result,
        }
    }

    /// Posts `body` to a subresource of the object at `key`.
    pub async fn post<K: Synced>(
        &self,
        action: &'static str,
        key: &ObjectKey,
        subresource: &str,
        body: &Value,
    ) -> Result<(), Error> {
        let request = Self::collection::<K>(key).create_subresource(
            subresource,
            &key.name,
            &PostParams::default(),
            body.to_string().into_bytes(),
        );
        self.send::<K>(action, key, request).await
    }

    async fn apply_with<K: Synced>(
        &self,
        action: &'static str,
        object: &K,
        (precondition, value): (&str, &str),
    ) -> Result<(), Error> {
        let mut body = self.as_json(action, object)?;
        body["metadata"][precondition] = json!(value);
        self.send_apply(action, object, body).await
    }

    /// Server-side apply refuses fields that it does not know, which happens when the two sides are
    /// of different versions. What the server names is left out, now and from then on.
    async fn send_apply<K: Synced>(
        &self,
        action: &'static str,
        object: &K,
        mut body: Value,
    ) -> Result<(), Error> {
        let key = ObjectKey::of(object);
        let kind = K::kind(&());
        let params = PatchParams::apply(self.field_manager()).force();
        for path in self.unknown_fields(&kind) {
            unknown_fields::remove(&mut body, &path);
        }
        loop {
            let result = self
                .patch::<K>(action, &key, &params, &Patch::Apply(&body), None)
                .await;
            let Err(error) = &result else {
                return result;
            };
            let unknown =
                unknown_fields::named_in(error.status().map_or("", |status| &status.message));
            let removed = unknown
                .iter()
                .filter(|path| unknown_fields::remove(&mut body, path))
                .count();
            if removed == 0 {
                return result;
            }
            self.unknown
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .entry(kind.to_string())
                .or_default()
                .extend(unknown);
        }
    }

    fn unknown_fields(&self, kind: &str) -> Vec<Vec<String>> {
        self.unknown
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(kind)
            .into_iter()
            .flatten()
            .cloned()
            .collect()
    }

    async fn patch<K: Synced>(
        &self,
        action: &'static str,
        key: &ObjectKey,
        params: &PatchParams,
        patch: &Patch<&Value>,
        subresource: Option<&str>,
    ) -> Result<(), Error> {
        let collection = Self::collection::<K>(key);
        let request = match subresource {
            Some(subresource) => {
                collection.patch_subresource(subresource, &key.name, params, patch)
            }
            None => collection.patch(&key.name, params, patch),
        };
        self.send::<K>(action, key, request).await
    }

    async fn send<K: Synced>(
        &self,
        action: &'static str,
        key: &ObjectKey,
        request: Result<http::Request<Vec<u8>>, kube::core::request::Error>,
    ) -> Result<(), Error> {
        let start = Instant::now();
        let mut retry_after = None;
        let result = if self.mandate.holds() {
            let request = request.map_err(kube::Error::BuildRequest);
            let answer = async { self.ask(request?, &mut retry_after).await };
            let silence = |_| Err(kube::Error::Service(Box::new(Lost::Silence)));
            timeout(PATIENCE, answer).await.unwrap_or_else(silence)
        } else {
            Err(kube::Error::Service(Box::new(Lost::NotLeading)))
        };
        let request = metrics::Request {
            kind: <K as k8s_openapi::Resource>::KIND,
            action,
            side: self.side,
        };
        self.metrics
            .write(request, start.elapsed(), result.is_err());
        result.map_err(|source| Error {
            retry_after,
            ..self.error::<K>(action, key.clone(), source)
        })
    }

    /// As [`Client::request`], which does not tell what a busy server says of the time.
    async fn ask(
        &self,
        request: http::Request<Vec<u8>>,
        retry_after: &mut Option<Duration>,
    ) -> Result<(), kube::Error> {
        let answer = self.client.send(request.map(Body::from)).await?;
        let code = answer.status();
        let wanted = answer.headers().get(RETRY_AFTER);
        let seconds = wanted.and_then(|value| value.to_str().ok()?.parse().ok());
        // A server that says "in a year" is not believed.
        *retry_after = seconds.map(|it| Duration::from_secs(it).min(LONGEST_PEACE));
        let text = answer.into_body().collect().await?.to_bytes();
        if code.is_success() {
            return Ok(());
        }
        let status = serde_json::from_slice(&text).unwrap_or_else(|_| {
            let text = String::from_utf8_lossy(&text);
            Status::failure(text.trim(), "Unknown").with_code(code.as_u16())
        });
        Err(kube::Error::Api(Box::new(status)))
    }

    fn as_json<K: Synced>(&self, action: &'static str, object: &K) -> Result<Value, Error> {
        serde_json::to_value(object).map_err(|source| {
            let source = kube::Error::SerdeError(source);
            self.error::<K>(action, ObjectKey::of(object), source)
        })
    }

    fn error<K: Synced>(
        &self,
        action: &'static str,
        object: ObjectKey,
        source: kube::Error,
    ) -> Error {
        Error {
            action,
            kind: K::kind(&()).into_owned(),
            object,
            side: self.side,
            retry_after: None,
            source: Box::new(source),
        }
    }

    fn collection<K: Synced>(key: &ObjectKey) -> Request {
        Request::new(K::url_path(&(), key.namespace.as_deref()))
    }

    fn field_manager(&self) -> &'static str {
        match self.side {
            Side::Virtual => labels::VIRTUAL_FIELD_MANAGER,
            Side::Host => labels::HOST_FIELD_MANAGER,
        }
    }
}
