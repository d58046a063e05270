//! What an API server makes in an empty store: roles, bindings, priority classes, and its own service. It sleeps for a
//! second before it begins, and does not call itself ready until it is done. What one has made is remembered, and every
//! other one like it is given the same at once, so that nobody waits for that second and nobody sees an API server
//! without its roles.

use std::{
    net::IpAddr,
    time::{Duration, Instant},
};

use futures::{StreamExt as _, TryStreamExt as _, future::try_join_all, stream};
use http::Request;
use kube::Client;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tracing::{debug, warn};

use super::objects::Images;
use crate::{
    asset::Assets, datastore::Datastore, deadline::Deadline, distro::ControlPlane,
    version::KubernetesVersion,
};

/// Under which name it is remembered.
const NAME: &str = "bootstrap";
/// The checks of readiness that wait for it.
const HOOKS: [&str; 2] = [
    "poststarthook/rbac/bootstrap-roles",
    "poststarthook/scheduling/bootstrap-system-priority-classes",
];
const ROLES: &str = "apis/rbac.authorization.k8s.io/v1";
const PRIORITIES: &str = "apis/scheduling.k8s.io/v1";
/// On every role and binding that an API server makes.
const LABEL: &str = "labelSelector=kubernetes.io%2Fbootstrapping%3Drbac-defaults";
/// Before the name of every priority class that it makes, and of no other: it is reserved.
const RESERVED: &str = "system-";
/// Who is to have made them.
const MANAGER: &str = "kube-apiserver";
/// How many requests are under way at a time.
const CONCURRENCY: usize = 16;
/// After this the API server has begun itself.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long between two tries: some of it lies in namespaces that come at the same moment.
const PAUSE: Duration = Duration::from_millis(10);

/// What API servers of one kind begin with.
#[derive(Debug)]
pub(super) struct Bootstrap {
    assets: Assets,
    /// All that it depends on; `None` where it is nobody's business what the store holds.
    inputs: Option<Vec<u8>>,
    known: Option<Vec<Given>>,
}

/// An object, as it is posted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Given {
    path: String,
    object: String,
}

impl Bootstrap {
    /// What is known of the API servers of this control plane. One that finds a store with content, or has others beside
    /// it, is left to itself.
    pub(super) async fn of(
        assets: &Assets,
        version: KubernetesVersion,
        store: Option<&Datastore>,
        control_plane: &ControlPlane,
        images: &Images,
    ) -> Self {
        let is_new = !matches!(store, Some(Datastore::External(_)));
        let inputs =
            (is_new && !control_plane.is_several()).then(|| inputs(version, control_plane, images));
        let known = match &inputs {
            Some(inputs) => assets.recall(NAME, &[inputs]).await,
            None => None,
        };
        Self {
            assets: assets.clone(),
            inputs,
            // One of another make of this library is learned again.
            known: known.and_then(|known| serde_json::from_slice(&known).ok()),
        }
    }

    /// What to ask an API server at, whose path for all of its readiness this is.
    pub(super) fn ready_path(&self, path: &str) -> String {
        if self.known.is_none() {
            return path.to_owned();
        }
        let excluded: Vec<_> = HOOKS.iter().map(|hook| format!("exclude={hook}")).collect();
        format!("{path}?{}", excluded.join("&"))
    }

    /// Gives it to an API server that is ready but for that; says whether all of it is there. `service` is where it is to
    /// be found in the virtual cluster.
    pub(super) async fn give(&self, cluster: &Client, service: Option<(IpAddr, u16)>) -> bool {
        let (Some(known), Some((address, port))) = (&self.known, service) else {
            return false;
        };
        let service = of_service(address, port);
        let began = Instant::now();
        let deadline = Deadline::after("what an API server begins with", PATIENCE);
        let given = stream::iter(known.iter().chain([&service]))
            .map(|given| given.post(cluster, deadline))
            .buffer_unordered(CONCURRENCY)
            .try_collect::<()>();
        match tokio::time::timeout_at(deadline.instant(), given).await {
            Ok(Ok(())) => {
                debug!(elapsed = ?began.elapsed(), "given what API servers begin with");
                true
            }
            Ok(Err(error)) => {
                let error = &error as &dyn std::error::Error;
                debug!(error, "the API server begins by itself");
                false
            }
            Err(_) => {
                debug!("the API server begins by itself: it was slow");
                false
            }
        }
    }

    /// Remembers what an API server has made that is ready and nobody has used yet, if it is not known.
    pub(super) async fn learn(&self, cluster: &Client) {
        let (Some(inputs), None) = (&self.inputs, &self.known) else {
            return;
        };
        match made_by(cluster).await {
            Ok(made) => {
                debug!(objects = made.len(), "learned what API servers begin with");
                let made = serde_json::to_vec(&made).expect("plain data");
                self.assets.remember(NAME, &[inputs], &made).await;
            }
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                warn!(error, "the next API server begins by itself again");
            }
        }
    }
}

impl Given {
    async fn post(&self, cluster: &Client, deadline: Deadline) -> Result<(), kube::Error> {
        loop {
            let request = Request::post(&self.path)
                .header("content-type", "application/json")
                .body(self.object.clone().into_bytes())
                .map_err(kube::Error::HttpError)?;
            match cluster.request_text(request).await {
                Ok(_) => return Ok(()),
                Err(kube::Error::Api(status)) if status.code == 409 => return Ok(()),
                // Namespaces and allocators of addresses are a moment younger than the server.
                Err(kube::Error::Api(_)) if !deadline.is_over() => {}
                Err(error) => return Err(error),
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}

/// The service of the API server, which makes it when it calls itself ready.
fn of_service(address: IpAddr, port: u16) -> Given {
    let object = json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": "kubernetes",
            "namespace": "default",
            "labels": {"component": "apiserver", "provider": "kubernetes"},
        },
        "spec": {
            "clusterIP": address,
            "ports": [{"name": "https", "port": 443, "protocol": "TCP", "targetPort": port}],
        },
    });
    Given {
        path: format!("/api/v1/namespaces/default/services?fieldManager={MANAGER}"),
        object: object.to_string(),
    }
}

/// Whatever could make another API server of it.
fn inputs(version: KubernetesVersion, control_plane: &ControlPlane, images: &Images) -> Vec<u8> {
    let images: Vec<_> = images
        .iter()
        .filter(|(component, _)| component.is_kubernetes())
        .map(|(component, image)| (component.name(), image))
        .collect();
    serde_json::to_vec(&json!([version.to_string(), control_plane, images]))
        .expect("plain data with string keys")
}

/// All that this API server has made by itself.
async fn made_by(cluster: &Client) -> Result<Vec<Given>, kube::Error> {
    let of_roles = [
        "clusterroles",
        "clusterrolebindings",
        "roles",
        "rolebindings",
    ];
    let of_roles = of_roles.map(|plural| (ROLES, plural, format!("?{LABEL}")));
    let of_priorities = [(PRIORITIES, "priorityclasses", String::new())];
    let lists = of_roles.into_iter().chain(of_priorities);
    let made = try_join_all(lists.map(async |(group, plural, query)| {
        let request = Request::get(format!("/{group}/{plural}{query}"))
            .body(Vec::new())
            .map_err(kube::Error::HttpError)?;
        let list: Value = cluster.request(request).await?;
        Ok::<_, kube::Error>(items(&list, group, plural))
    }));
    Ok(made.await?.concat())
}

fn items(list: &Value, group: &str, plural: &str) -> Vec<Given> {
    let kind = list["kind"].as_str().unwrap_or_default();
    let kind = kind.strip_suffix("List").unwrap_or(kind);
    let items = list["items"].as_array().into_iter().flatten();
    let made = items.filter(|item| plural != "priorityclasses" || is_reserved(item));
    made.map(|item| given(item, &list["apiVersion"], kind, group, plural))
        .collect()
}

fn is_reserved(item: &Value) -> bool {
    let name = item["metadata"]["name"].as_str();
    name.is_some_and(|name| name.starts_with(RESERVED))
}

fn given(item: &Value, version: &Value, kind: &str, group: &str, plural: &str) -> Given {
    let mut object = item.clone();
    object["apiVersion"] = version.clone();
    object["kind"] = json!(kind);
    let metadata = &item["metadata"];
    object["metadata"] = ["name", "namespace", "labels", "annotations"]
        .iter()
        .filter_map(|&key| Some((key.to_owned(), metadata.get(key)?.clone())))
        .collect();
    // What is put together of others is its controller's.
    if item.get("aggregationRule").is_some() {
        object["rules"] = Value::Null;
    }
    let place = match metadata["namespace"].as_str() {
        Some(namespace) => format!("namespaces/{namespace}/{plural}"),
        None => plural.to_owned(),
    };
    Given {
        path: format!("/{group}/{place}?fieldManager={MANAGER}"),
        object: object.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(kind: &str, version: &str, items: &Value) -> Value {
        json!({"kind": format!("{kind}List"), "apiVersion": version, "items": items})
    }

    fn objects(given: &[Given]) -> Vec<(&str, Value)> {
        let read = |given: &Given| serde_json::from_str(&given.object).unwrap();
        given
            .iter()
            .map(|given| (given.path.as_str(), read(given)))
            .collect()
    }

    #[test]
    fn an_object_is_given_as_it_was_made_and_not_as_it_is() {
        let roles = list(
            "Role",
            "rbac.authorization.k8s.io/v1",
            &json!([{
                "metadata": {
                    "name": "reader", "namespace": "kube-system", "uid": "u1", "resourceVersion": "7",
                    "creationTimestamp": "2026-01-02T03:04:05Z", "managedFields": [{}],
                    "labels": {"a": "b"}, "annotations": {"c": "d"},
                },
                "rules": [{"verbs": ["get"]}],
            }]),
        );
        let expected = json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role",
            "metadata": {
                "name": "reader", "namespace": "kube-system",
                "labels": {"a": "b"}, "annotations": {"c": "d"},
            },
            "rules": [{"verbs": ["get"]}],
        });
        let path = "/apis/rbac.authorization.k8s.io/v1/namespaces/kube-system/roles?fieldManager=kube-apiserver";
        assert_eq!(objects(&items(&roles, ROLES, "roles")), [(path, expected)]);
    }

    #[test]
    fn what_a_controller_puts_together_is_left_to_it() {
        let roles = list(
            "ClusterRole",
            "rbac.authorization.k8s.io/v1",
            &json!([{
                "metadata": {"name": "view"},
                "aggregationRule": {"clusterRoleSelectors": []},
                "rules": [{"verbs": ["get"]}],
            }]),
        );
        let given = items(&roles, ROLES, "clusterroles");
        let (path, object) = &objects(&given)[0];
        assert_eq!(
            *path,
            "/apis/rbac.authorization.k8s.io/v1/clusterroles?fieldManager=kube-apiserver"
        );
        assert!(object["rules"].is_null() && object["aggregationRule"].is_object());
    }

    #[test]
    fn priority_classes_of_others_are_theirs() {
        let classes = list(
            "PriorityClass",
            "scheduling.k8s.io/v1",
            &json!([{"metadata": {"name": "system-node-critical"}}, {"metadata": {"name": "k0s"}}]),
        );
        let given = items(&classes, PRIORITIES, "priorityclasses");
        assert_eq!(given.len(), 1);
        assert!(given[0].object.contains("system-node-critical"));
    }
}
