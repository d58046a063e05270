//! What the end-to-end tests share: how long things may take, and how a pod is made and watched.
//!
//! The tests themselves are the modules of `e2e/main.rs`.

use std::{fmt::Debug, time::Duration};

use anyhow::{Context as _, ensure};
use k8s_openapi::api::{core::v1::Pod, events::v1::Event};
use kube::{
    Api, Client, ResourceExt as _,
    api::{ListParams, LogParams, PostParams},
    core::NamespaceResourceScope,
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use vcluster_harness::{
    cluster::VirtualCluster,
    deadline::Deadline,
    wait::{self, conditions},
};

/// What can be made in a cluster, and waited for.
pub trait Object:
    kube::Resource<DynamicType = ()> + Clone + Debug + Serialize + DeserializeOwned + Send + 'static
{
}

impl<K> Object for K where
    K: kube::Resource<DynamicType = ()>
        + Clone
        + Debug
        + Serialize
        + DeserializeOwned
        + Send
        + 'static
{
}

/// A deadline for something that takes a second or two when all is well, and a minute on a busy machine.
pub fn soon(what: &'static str) -> Deadline {
    Deadline::after(what, Duration::from_mins(1))
}

/// Creates the pod and waits until it is ready.
pub async fn start(pods: &Api<Pod>, pod: &Pod) -> anyhow::Result<Pod> {
    let name = pods.create(&PostParams::default(), pod).await?.name_any();
    wait::until(pods, &name, conditions::is_pod_ready(), soon("ready"))
        .await?
        .context("the pod is gone")
}

/// Creates a pod that ends by itself, waits until it has, and gives what it said.
pub async fn output_of(pods: &Api<Pod>, pod: &Pod) -> anyhow::Result<String> {
    let name = pods.create(&PostParams::default(), pod).await?.name_any();
    let ended = wait::until(pods, &name, conditions::is_pod_finished(), soon("finished"))
        .await?
        .context("the pod is gone")?;
    let output = pods.logs(&name, &LogParams::default()).await?;
    let phase = ended.status.and_then(|status| status.phase);
    ensure!(
        phase.as_deref() == Some("Succeeded"),
        "{name} ended {phase:?} and said {output:?}"
    );
    Ok(output)
}

/// Makes an object of the default namespace in the virtual cluster, waits for its twin, and gives that.
pub async fn twin_of<K>(cluster: &VirtualCluster, object: Value) -> anyhow::Result<Value>
where
    K: Object + kube::Resource<Scope = NamespaceResourceScope>,
{
    let objects: Api<K> = Api::default_namespaced(cluster.client());
    let object = objects
        .create(&PostParams::default(), &serde_json::from_value(object)?)
        .await?;
    let on_host: Api<K> = Api::namespaced(cluster.host_client(), cluster.namespace());
    let name = cluster.host_key("default", &object.name_any()).name;
    let is_there = |object: Option<&K>| object.is_some();
    let twin = wait::until(&on_host, &name, is_there, soon("on the host")).await?;
    Ok(serde_json::to_value(twin)?)
}

/// Waits until no object of that name is there.
pub async fn gone<K: Object>(api: &Api<K>, name: &str) -> anyhow::Result<()> {
    wait::until(
        api,
        name,
        |object: Option<&K>| object.is_none(),
        soon("deleted"),
    )
    .await?;
    Ok(())
}

/// Waits until the tenant is told about its object `name` in these words.
pub async fn is_told(
    client: &Client,
    kind: &str,
    name: &str,
    words: &str,
) -> anyhow::Result<String> {
    let events: Api<Event> = Api::default_namespaced(client.clone());
    let deadline = soon("told");
    loop {
        let said = events.list(&ListParams::default()).await?.items;
        let said = said.into_iter().filter(|event| {
            let about = event.regarding.as_ref();
            about.is_some_and(|it| {
                it.kind.as_deref() == Some(kind) && it.name.as_deref() == Some(name)
            })
        });
        let notes: Vec<_> = said.filter_map(|event| event.note).collect();
        if let Some(note) = notes.iter().find(|note| note.contains(words)) {
            return Ok(note.clone());
        }
        ensure!(!deadline.is_over(), "{kind} {name} heard only {notes:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
