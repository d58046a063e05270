//! Keeps a directory up to date from the host's API, by watches of its own.

use std::collections::HashSet;

use futures::{Stream, StreamExt};
use k8s_openapi::api::{
    core::v1::{Node, Pod, Service},
    discovery::v1::EndpointSlice,
};
use kube::{
    Api, Client, Resource,
    runtime::{WatchStreamExt, watcher},
};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::{directory::Directory, shared::SharedDirectory};
use crate::{labels, naming::NameTranslator};

/// Objects in one answer. Only addresses and names are kept, so a small page keeps memory small.
const PAGE: u32 = 100;

/// Which nodes the tenant sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NodesSeen {
    /// Those that carry its pods, which are known from the pods.
    OfPods,
    /// All of the host's.
    All,
}

/// Feeds `directory` with what `host` says until `cancel`. An unreachable host is asked again and
/// again; meanwhile the directory stays as it is.
pub async fn feed(
    host: Client,
    names: &NameTranslator,
    nodes: NodesSeen,
    directory: &SharedDirectory,
    cancel: &CancellationToken,
) {
    let namespace = names.host_namespace();
    let managed = format!("{}={}", labels::MANAGED_BY, names.managed_by());
    let own = watcher::Config::default().page_size(PAGE).labels(&managed);
    // The host's own controllers label what they make, so slices are taken by namespace.
    let all = watcher::Config::default().page_size(PAGE);
    let pods = Api::<Pod>::namespaced(host.clone(), namespace);
    let services = Api::<Service>::namespaced(host.clone(), namespace);
    let slices = Api::<EndpointSlice>::namespaced(host.clone(), namespace);
    let every_node = async {
        if nodes == NodesSeen::All {
            take_in(watcher(Api::<Node>::all(host), all.clone()), directory).await;
        }
    };

    let feeding = async {
        tokio::join!(
            take_in(watcher(pods, own.clone()), directory),
            take_in(watcher(services, own), directory),
            take_in(watcher(slices, all.clone()), directory),
            every_node,
        )
    };
    // A watch that is dropped half-way loses nothing: the directory is only read after that.
    tokio::select! {
        () = cancel.cancelled() => {}
        _ = feeding => {}
    }
}

/// A kind of object that the directory remembers.
trait Entry: Resource<DynamicType = ()> {
    fn put(directory: &mut Directory, object: &Self);
    fn remove(directory: &mut Directory, name: &str);
    fn retain(directory: &mut Directory, names: &HashSet<String>);
}

impl Entry for Pod {
    fn put(directory: &mut Directory, object: &Self) {
        directory.put_pod(object);
    }
    fn remove(directory: &mut Directory, name: &str) {
        directory.remove_pod(name);
    }
    fn retain(directory: &mut Directory, names: &HashSet<String>) {
        directory.retain_pods(names);
    }
}

impl Entry for Service {
    fn put(directory: &mut Directory, object: &Self) {
        directory.put_service(object);
    }
    fn remove(directory: &mut Directory, name: &str) {
        directory.remove_service(name);
    }
    fn retain(directory: &mut Directory, names: &HashSet<String>) {
        directory.retain_services(names);
    }
}

impl Entry for EndpointSlice {
    fn put(directory: &mut Directory, object: &Self) {
        directory.put_slice(object);
    }
    fn remove(directory: &mut Directory, name: &str) {
        directory.remove_slice(name);
    }
    fn retain(directory: &mut Directory, names: &HashSet<String>) {
        directory.retain_slices(names);
    }
}

impl Entry for Node {
    fn put(directory: &mut Directory, object: &Self) {
        directory.put_node(object);
    }
    fn remove(directory: &mut Directory, name: &str) {
        directory.remove_node(name);
    }
    fn retain(directory: &mut Directory, names: &HashSet<String>) {
        directory.retain_nodes(names);
    }
}

async fn take_in<K: Entry>(
    events: impl Stream<Item = watcher::Result<watcher::Event<K>>>,
    directory: &SharedDirectory,
) {
    let kind = K::kind(&());
    let mut listed = HashSet::new();
    let mut events = std::pin::pin!(events.default_backoff());
    while let Some(event) = events.next().await {
        match event {
            Ok(watcher::Event::Init) => listed.clear(),
            Ok(watcher::Event::InitApply(object)) => {
                listed.extend(object.meta().name.clone());
                directory.update(|directory| K::put(directory, &object));
            }
            Ok(watcher::Event::InitDone) => {
                directory.update(|directory| K::retain(directory, &listed));
                listed = HashSet::new();
            }
            Ok(watcher::Event::Apply(object)) => {
                directory.update(|directory| K::put(directory, &object));
            }
            Ok(watcher::Event::Delete(object)) => {
                let name = object.meta().name.as_deref().unwrap_or_default();
                directory.update(|directory| K::remove(directory, name));
            }
            Err(error) => {
                let error: &dyn std::error::Error = &error;
                warn!(%kind, error, "could not follow the host");
            }
        }
    }
}
