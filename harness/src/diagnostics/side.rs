//! The objects of one side, virtual or host.

use std::collections::BTreeMap;

use futures::{StreamExt as _, stream};
use k8s_openapi::api::core::v1::{Event, Node, PersistentVolumeClaim, Pod};
use kube::{
    Api, Client,
    api::{ApiResource, DynamicObject, ListParams},
    discovery::{ApiGroup, Discovery, Scope, verbs},
};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::redact;
use crate::deadline::Deadline;

/// How many objects of a kind are looked at.
const PER_KIND: u32 = 500;

/// How many lists are under way at once.
const AT_ONCE: usize = 16;

/// Which objects of a cluster are of interest.
#[derive(Debug, Clone, Copy)]
pub(super) enum Range<'a> {
    /// All there are.
    All,
    /// Those of one namespace, and the nodes.
    Namespace(&'a str),
}

/// Objects by kind, without what must not be seen.
#[derive(Debug, Clone, Default)]
pub struct Side {
    /// By plural and group, such as `deployments.apps`.
    pub objects: BTreeMap<String, Vec<Value>>,
    /// What could not be listed, and why.
    pub missing: Vec<String>,
}

impl Side {
    /// Pods.
    pub fn pods(&self) -> Vec<Pod> {
        self.typed("pods")
    }

    /// Events.
    pub fn events(&self) -> Vec<Event> {
        self.typed("events")
    }

    /// Claims of volumes.
    pub fn claims(&self) -> Vec<PersistentVolumeClaim> {
        self.typed("persistentvolumeclaims")
    }

    /// Nodes.
    pub fn nodes(&self) -> Vec<Node> {
        self.typed("nodes")
    }

    fn typed<K: DeserializeOwned>(&self, kind: &str) -> Vec<K> {
        let objects = self.objects.get(kind).into_iter().flatten();
        objects
            .filter_map(|object| serde_json::from_value(object.clone()).ok())
            .collect()
    }
}

/// Lists everything of interest that answers in time.
pub(super) async fn list(client: &Client, range: Range<'_>, deadline: Deadline) -> Side {
    let mut side = Side::default();
    let discovery = Discovery::new(client.clone()).run_aggregated();
    let discovery = match tokio::time::timeout_at(deadline.instant(), discovery).await {
        Ok(Ok(discovery)) => discovery,
        Ok(Err(error)) => {
            side.missing.push(format!("its API: {error}"));
            return side;
        }
        Err(_) => {
            side.missing
                .push(format!("its API: {}", no_answer(deadline)));
            return side;
        }
    };
    let kinds = discovery
        .groups()
        .flat_map(ApiGroup::recommended_resources)
        .filter(|(kind, capabilities)| {
            capabilities.supports_operation(verbs::LIST)
                && is_wanted(kind, &capabilities.scope, range)
        });
    let lists: Vec<_> = stream::iter(kinds)
        .map(async |(kind, capabilities)| {
            let listed = list_kind(client, &kind, &capabilities.scope, range);
            let outcome = match tokio::time::timeout_at(deadline.instant(), listed).await {
                Ok(Ok(objects)) => Ok(objects),
                Ok(Err(error)) => Err(error.to_string()),
                Err(_) => Err(no_answer(deadline)),
            };
            (full_name(&kind), outcome)
        })
        .buffer_unordered(AT_ONCE)
        .collect()
        .await;
    for (kind, outcome) in lists {
        match outcome {
            Ok(objects) if objects.is_empty() => {}
            Ok(objects) => {
                side.objects.insert(kind, objects);
            }
            Err(error) => side.missing.push(format!("{kind}: {error}")),
        }
    }
    side
}

fn is_wanted(kind: &ApiResource, scope: &Scope, range: Range<'_>) -> bool {
    // The core group has the same events, and metrics are of no use afterwards.
    if ["events.k8s.io", "metrics.k8s.io"].contains(&kind.group.as_str()) {
        return false;
    }
    match (range, scope) {
        (Range::All, _) | (Range::Namespace(_), Scope::Namespaced) => true,
        (Range::Namespace(_), Scope::Cluster) => full_name(kind) == "nodes",
    }
}

async fn list_kind(
    client: &Client,
    kind: &ApiResource,
    scope: &Scope,
    range: Range<'_>,
) -> Result<Vec<Value>, kube::Error> {
    let api = match (range, scope) {
        (Range::Namespace(namespace), Scope::Namespaced) => {
            Api::<DynamicObject>::namespaced_with(client.clone(), namespace, kind)
        }
        _ => Api::all_with(client.clone(), kind),
    };
    let list = api.list(&ListParams::default().limit(PER_KIND)).await?;
    let objects = list.items.into_iter().map(|object| {
        let mut value = serde_json::to_value(object).map_err(kube::Error::SerdeError)?;
        value["apiVersion"] = kind.api_version.clone().into();
        value["kind"] = kind.kind.clone().into();
        redact::object(&mut value);
        Ok(value)
    });
    objects.collect()
}

fn full_name(kind: &ApiResource) -> String {
    if kind.group.is_empty() {
        kind.plural.clone()
    } else {
        format!("{}.{}", kind.plural, kind.group)
    }
}

fn no_answer(deadline: Deadline) -> String {
    format!("no answer in {:.0} s", deadline.limit().as_secs_f64())
}
