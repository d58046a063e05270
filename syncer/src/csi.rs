//! What the tenant's own scheduler must know of the host's storage drivers: which nodes run them, and
//! how much room they have. Shown as it is, and read only.

use std::sync::Arc;

use k8s_openapi::api::{
    core::v1::Node,
    storage::v1::{CSIDriver, CSINode, CSIStorageCapacity, StorageClass},
};
use kube::{
    ResourceExt,
    core::{Selector, SelectorExt as _},
};

use crate::{
    clusters::Clusters,
    metadata,
    mirror::{Mirror, View, as_it_is},
    object_key::ObjectKey,
    plan,
};

/// The virtual namespace of all capacities; the host's namespaces are not the tenant's to see.
const NAMESPACE: &str = "kube-system";

/// Shows drivers.
pub(crate) fn drivers(clusters: &Arc<Clusters>) -> Arc<Mirror<CSIDriver>> {
    Mirror::new(clusters, &clusters.caches.csi_drivers, View::default())
}

/// Shows which drivers the nodes run that the tenant sees.
pub(crate) fn nodes(clusters: &Arc<Clusters>) -> Arc<Mirror<CSINode>> {
    let view = View {
        show: node,
        ..View::default()
    };
    let mirror = Mirror::new(clusters, &clusters.caches.csi_nodes, view);
    let weak = Arc::downgrade(&mirror);
    clusters.caches.nodes.on_virtual.subscribe(move |change| {
        let came_or_went = change.before.is_some() != change.after.is_some();
        if let Some(mirror) = weak.upgrade().filter(|_| came_or_went) {
            mirror.wake(change.key.clone());
        }
    });
    mirror
}

/// Shows how much room there is for volumes where the tenant's pods may run.
pub(crate) fn capacities(clusters: &Arc<Clusters>) -> Arc<Mirror<CSIStorageCapacity>> {
    let view = View {
        key: Some(capacity_key),
        show: capacity,
    };
    let caches = &clusters.caches;
    let mirror = Mirror::new(clusters, &caches.csi_capacities, view);
    let wake_all = || {
        let weak = Arc::downgrade(&mirror);
        move || {
            if let Some(mirror) = weak.upgrade() {
                mirror.wake_all();
            }
        }
    };
    let wake = wake_all();
    caches.nodes.on_virtual.subscribe(move |change| {
        let labels = |node: &Option<Arc<Node>>| node.as_ref().map(|node| node.labels().clone());
        if labels(&change.before) != labels(&change.after) {
            wake();
        }
    });
    if caches.sync.to_host.storage_classes.enabled {
        let wake = wake_all();
        caches.storage_classes.on_virtual.subscribe(move |change| {
            if change.before.is_some() != change.after.is_some() {
                wake();
            }
        });
    }
    mirror
}

fn node(host: &CSINode, clusters: &Clusters) -> Option<CSINode> {
    let key = ObjectKey::cluster_scoped(host.name_any());
    clusters.caches.nodes.on_virtual.get(&key)?;
    as_it_is(host, clusters)
}

/// Under a name that says nothing of the host's namespace.
fn capacity_key(host: &ObjectKey) -> ObjectKey {
    let digest = plan::digest(&host.to_string());
    ObjectKey::namespaced(NAMESPACE, format!("csisc-{digest}"))
}

fn capacity(host: &CSIStorageCapacity, clusters: &Clusters) -> Option<CSIStorageCapacity> {
    let caches = &clusters.caches;
    let storage_class_name = if caches.sync.to_host.storage_classes.enabled {
        let is_its = |class: &StorageClass| {
            let name = clusters.names.cluster_scoped_host_name(&class.name_any());
            name == host.storage_class_name
        };
        let classes = caches.storage_classes.on_virtual.filter(is_its);
        classes.first()?.name_any()
    } else {
        host.storage_class_name.clone()
    };
    if let Some(topology) = &host.node_topology {
        let topology = Selector::try_from(topology.clone()).ok()?;
        let is_there = |node: &Node| topology.matches(node.labels());
        caches.nodes.on_virtual.any(is_there).then_some(())?;
    }
    let key = capacity_key(&ObjectKey::of(host));
    let mut metadata = metadata::mirrored(&host.metadata);
    metadata.name = Some(key.name);
    metadata.namespace = key.namespace;
    Some(CSIStorageCapacity {
        metadata,
        storage_class_name,
        ..host.clone()
    })
}
