//! An API server in memory, for tests of everything that does I/O: any kind, with list, watch, get,
//! create, server-side apply, merge and strategic patches, delete with preconditions and grace, and
//! the subresources that the syncer uses. It knows no schema, no defaults and no controllers.

mod line;
mod patch;
mod path;
mod store;

use std::{
    future::Future,
    sync::{Arc, Mutex},
    time::Duration,
};

use futures::{StreamExt, stream};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::body::{Bytes, Frame};
use kube::{Client, client::Body};
use serde_json::{Value, json};
use tokio::sync::watch;
use tower::BoxError;

pub(crate) use self::{
    line::{Condition, Line},
    store::Written,
};
use self::{
    path::Path,
    store::{Attempt, Store},
};
use crate::resource::Synced;

/// A cluster in memory. Clones are the same cluster.
#[derive(Clone)]
pub(crate) struct FakeApi {
    store: Arc<Mutex<Store>>,
    /// Tells watches that there is something new.
    changed: Arc<watch::Sender<u64>>,
    line: Line,
}

/// The plain text that a server answers where it knows no such resource.
const UNHANDLED: &str = "404 page not found";

/// What it answers with: a value, or a stream of them.
type Sent = UnsyncBoxBody<Bytes, BoxError>;

/// Answers a request, or says why not.
type Answer = Result<(StatusCode, Value), Refusal>;

/// Why a request is refused.
#[derive(Debug, Clone)]
pub(crate) struct Refusal {
    pub(crate) code: StatusCode,
    pub(crate) message: String,
}

impl Refusal {
    fn new(code: StatusCode, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
        }
    }
}

impl FakeApi {
    /// An empty cluster.
    pub(crate) fn new() -> Self {
        Self {
            store: Arc::new(Mutex::new(Store::default())),
            changed: Arc::new(watch::Sender::new(0)),
            line: Line::new("anybody"),
        }
    }

    /// A client of it.
    pub(crate) fn client(&self) -> Client {
        self.line.client(self)
    }

    /// A client of it at the end of another line than the usual one.
    pub(crate) fn client_over(&self, line: &Line) -> Client {
        line.client(self)
    }

    /// The usual line.
    pub(crate) fn line(&self) -> &Line {
        &self.line
    }

    /// Every write, who did it and when; without what was said about them, and without leases.
    pub(crate) fn written(&self) -> Vec<Written> {
        self.store.lock().unwrap().written.clone()
    }

    /// How many requests have changed, or tried to change, something.
    pub(crate) fn writes(&self) -> usize {
        self.store.lock().unwrap().written.len()
    }

    /// The object, if it is there.
    pub(crate) fn get<K: Synced>(&self, namespace: Option<&str>, name: &str) -> Option<K> {
        let path = Path::of::<K>(namespace, name);
        let found = self.store.lock().unwrap().get(&path)?;
        Some(serde_json::from_value(found).unwrap())
    }

    /// Waits until the object is there and `is_met` says yes to it.
    #[track_caller]
    pub(crate) fn wait_for_object<K: Synced>(
        &self,
        namespace: Option<&str>,
        name: &str,
        is_met: impl Fn(&K) -> bool,
    ) -> impl Future<Output = K> {
        let namespace = namespace.map(str::to_owned);
        let name = name.to_owned();
        let what = format!("{} {name}", K::kind(&()));
        self.wait_for(&what, move |cluster| {
            let found = cluster.get::<K>(namespace.as_deref(), &name);
            match found {
                Some(object) if is_met(&object) => Ok(object),
                other => Err(format!("{other:?}")),
            }
        })
    }

    /// Waits until there is no such object.
    #[track_caller]
    pub(crate) fn wait_until_gone<K: Synced>(
        &self,
        namespace: Option<&str>,
        name: &str,
    ) -> impl Future<Output = ()> {
        let namespace = namespace.map(str::to_owned);
        let name = name.to_owned();
        let what = format!("{} {name} to go", K::kind(&()));
        self.wait_for(&what, move |cluster| {
            let found = cluster.get::<K>(namespace.as_deref(), &name);
            found.map_or(Ok(()), |object| Err(format!("{object:?}")))
        })
    }

    /// All objects of a kind.
    pub(crate) fn list<K: Synced>(&self) -> Vec<K> {
        let path = Path::of::<K>(None, "");
        let found = self.store.lock().unwrap().list(&path, None);
        found
            .into_iter()
            .map(|object| serde_json::from_value(object).unwrap())
            .collect()
    }

    /// How many objects of a kind there are.
    pub(crate) fn count<K: Synced>(&self) -> usize {
        let path = Path::of::<K>(None, "");
        self.store.lock().unwrap().count(&path)
    }

    /// Makes an object or replaces it, as somebody else would.
    pub(crate) fn put<K: Synced>(&self, object: &K) -> K {
        let meta = object.meta();
        let path = Path::of::<K>(meta.namespace.as_deref(), meta.name.as_deref().unwrap());
        let stored = self
            .store
            .lock()
            .unwrap()
            .put(&path, serde_json::to_value(object).unwrap());
        self.tell();
        serde_json::from_value(stored).unwrap()
    }

    /// Changes an object, as somebody else would.
    pub(crate) fn edit<K: Synced>(
        &self,
        namespace: Option<&str>,
        name: &str,
        edit: impl FnOnce(&mut K),
    ) {
        let mut object = self.get::<K>(namespace, name).unwrap();
        edit(&mut object);
        self.put(&object);
    }

    /// Removes an object at once, as a kubelet or a force would.
    pub(crate) fn remove<K: Synced>(&self, namespace: Option<&str>, name: &str) {
        self.store
            .lock()
            .unwrap()
            .remove(&Path::of::<K>(namespace, name));
        self.tell();
    }

    /// Deletes an object with grace, as a user would.
    pub(crate) fn delete<K: Synced>(&self, namespace: Option<&str>, name: &str, grace: i64) {
        let path = Path::of::<K>(namespace, name);
        let options = json!({ "gracePeriodSeconds": grace });
        self.store.lock().unwrap().delete(&path, &options).unwrap();
        self.tell();
    }

    /// Refuses the next creation of an object whose name contains `name`.
    pub(crate) fn refuse_creation(&self, name: &str, code: StatusCode, message: &str) {
        self.refuse(Attempt::Creation, name, code, message);
    }

    /// Refuses the next change of an object whose name contains `name`.
    pub(crate) fn refuse_change(&self, name: &str, code: StatusCode, message: &str) {
        self.refuse(Attempt::Change, name, code, message);
    }

    /// Refuses every creation of an object whose name contains `name` from now on.
    pub(crate) fn refuse_for_good(&self, name: &str, code: StatusCode, message: &str) {
        self.refuse(Attempt::EveryCreation, name, code, message);
    }

    /// Refuses nothing any more.
    pub(crate) fn relent(&self) {
        self.store.lock().unwrap().refusals.clear();
    }

    /// How often it was asked to make `name` in `collection`.
    pub(crate) fn made(&self, collection: &str, name: &str) -> usize {
        let written = self.written().into_iter();
        written
            .filter_map(|written| written.made_in(collection))
            .filter(|made| made == name)
            .count()
    }

    /// Knows nothing of a subresource, as a server of an older version.
    pub(crate) fn forget_subresource(&self, name: &str) {
        self.refuse(Attempt::Subresource, name, StatusCode::NOT_FOUND, UNHANDLED);
    }

    fn refuse(&self, attempt: Attempt, name: &str, code: StatusCode, message: &str) {
        let refusal = Refusal::new(code, message);
        let mut store = self.store.lock().unwrap();
        store.refusals.push((attempt, name.to_owned(), refusal));
    }

    /// Ends all watches and forgets the history, so that their readers must list anew.
    pub(crate) fn break_watches(&self) {
        self.store.lock().unwrap().forget_history();
        self.tell();
    }

    /// Waits until `is_met`, and says what was last seen if that takes too long.
    #[track_caller]
    pub(crate) fn wait_for<T, F>(
        &self,
        what: &str,
        mut look: F,
    ) -> impl Future<Output = T> + use<T, F>
    where
        T: std::fmt::Debug,
        F: FnMut(&Self) -> Result<T, String>,
    {
        let api = self.clone();
        let what = what.to_owned();
        async move {
            let mut changed = api.changed.subscribe();
            let mut last = String::new();
            let met = async {
                loop {
                    changed.mark_unchanged();
                    match look(&api) {
                        Ok(found) => return found,
                        Err(seen) => last = seen,
                    }
                    // The other cluster may be the one that changes.
                    let _either =
                        tokio::time::timeout(Duration::from_millis(20), changed.changed()).await;
                }
            };
            let met = tokio::time::timeout(Duration::from_secs(30), met).await;
            met.unwrap_or_else(|_| panic!("waited 30 s for {what}; last seen: {last}"))
        }
    }

    fn tell(&self) {
        self.changed.send_modify(|version| *version += 1);
    }

    async fn answer(&self, request: Request<Body>, author: &'static str) -> Response<Sent> {
        let (parts, body) = request.into_parts();
        let query: Vec<(String, String)> = parts
            .uri
            .query()
            .unwrap_or_default()
            .split('&')
            .filter_map(|pair| pair.split_once('='))
            .map(|(key, value)| (key.to_owned(), percent_decoded(value)))
            .collect();
        let option = |key: &str| {
            query
                .iter()
                .find(|(name, _)| name == key)
                .map(|(_, value)| value.clone())
        };
        if parts.uri.path() == "/version" {
            return respond(StatusCode::OK, &version());
        }
        let Some(path) = Path::parse(parts.uri.path()) else {
            return refuse(&Refusal::new(StatusCode::NOT_FOUND, "no such path"));
        };
        if option("watch").is_some_and(|value| value == "true") {
            let since = option("resourceVersion").and_then(|version| version.parse().ok());
            return self.watch(path, option("labelSelector"), since.unwrap_or_default());
        }
        let body = body.collect().await.unwrap().to_bytes();
        let body: Value = if body.is_empty() {
            Value::Null
        } else {
            serde_json::from_slice(&body).unwrap()
        };
        let kind = parts
            .headers
            .get("content-type")
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
            .to_owned();
        if parts.method != Method::GET && path.is_synced() {
            let written = Written::new(author, &parts.method, &path, &body);
            self.store.lock().unwrap().written.push(written);
        }
        let answer = self.act(
            &parts.method,
            &path,
            &kind,
            &body,
            option("labelSelector").as_deref(),
        );
        if parts.method != Method::GET {
            self.tell();
        }
        match answer {
            Ok((code, value)) => respond(code, &value),
            Err(refusal) => refuse(&refusal),
        }
    }

    fn act(
        &self,
        method: &Method,
        path: &Path,
        kind: &str,
        body: &Value,
        selector: Option<&str>,
    ) -> Answer {
        let mut store = self.store.lock().unwrap();
        match (method.as_str(), path.name.is_empty()) {
            ("GET", true) => Ok((StatusCode::OK, store.as_list(path, selector))),
            ("GET", false) => {
                let found = store.get(path);
                found.map(|object| (StatusCode::OK, object)).ok_or_else(|| {
                    Refusal::new(StatusCode::NOT_FOUND, format!("{} not found", path.name))
                })
            }
            ("POST", _) => store.post(path, body),
            ("PUT", false) => store.replace(path, body),
            ("PATCH", false) => store.patch(path, kind, body),
            ("DELETE", false) => store.delete(path, body),
            _ => Err(Refusal::new(
                StatusCode::METHOD_NOT_ALLOWED,
                method.as_str(),
            )),
        }
    }

    fn watch(&self, path: Path, selector: Option<String>, since: u64) -> Response<Sent> {
        let is_too_old = since != 0 && since < self.store.lock().unwrap().oldest;
        if is_too_old {
            // Not a refusal: by now the real server has begun to answer.
            let status = json!({"kind": "Status", "code": 410, "reason": "Expired", "message": "too old resource version"});
            let line = Bytes::from(format!("{}\n", json!({"type": "ERROR", "object": status})));
            return Response::new(whole(line));
        }
        let (store, changed) = (Arc::clone(&self.store), self.changed.subscribe());
        let generation = self.store.lock().unwrap().generation;
        let events = stream::unfold((since, changed), move |(since, mut changed)| {
            let (store, path, selector) = (Arc::clone(&store), path.clone(), selector.clone());
            async move {
                loop {
                    changed.mark_unchanged();
                    let (news, newest) = {
                        let store = store.lock().unwrap();
                        if store.generation != generation {
                            return None;
                        }
                        (
                            store.events_since(&path, selector.as_deref(), since),
                            store.version,
                        )
                    };
                    if !news.is_empty() {
                        return Some((news, (newest, changed)));
                    }
                    changed.changed().await.ok()?;
                }
            }
        });
        let lines = events.flat_map(stream::iter).map(|event| {
            let line = Bytes::from(format!("{event}\n"));
            Ok::<_, BoxError>(Frame::data(line))
        });
        Response::new(StreamBody::new(lines).boxed_unsync())
    }
}

fn version() -> Value {
    json!({
        "major": "1", "minor": "34", "gitVersion": "v1.34.2", "gitCommit": "", "gitTreeState": "clean",
        "buildDate": "", "goVersion": "", "compiler": "gc", "platform": "linux/amd64",
    })
}

fn respond(code: StatusCode, value: &Value) -> Response<Sent> {
    let mut response = Response::new(whole(Bytes::from(value.to_string())));
    *response.status_mut() = code;
    response
}

fn whole(body: Bytes) -> Sent {
    Full::new(body).map_err(Into::into).boxed_unsync()
}

fn refuse(refusal: &Refusal) -> Response<Sent> {
    if refusal.message == UNHANDLED {
        let mut response = Response::new(whole(Bytes::from(UNHANDLED)));
        *response.status_mut() = refusal.code;
        return response;
    }
    let reason = refusal
        .code
        .canonical_reason()
        .unwrap_or_default()
        .replace(' ', "");
    respond(
        refusal.code,
        &json!({
            "kind": "Status", "apiVersion": "v1", "status": "Failure",
            "code": refusal.code.as_u16(), "message": refusal.message, "reason": reason,
        }),
    )
}

fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        if let (b'%', [high, low, after @ ..]) = (first, after) {
            let digits = [*high, *low];
            let code = u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap();
            bytes.push(code);
            rest = after;
        } else {
            bytes.push(if *first == b'+' { b' ' } else { *first });
            rest = after;
        }
    }
    String::from_utf8(bytes).unwrap()
}
