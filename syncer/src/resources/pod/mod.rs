//! Pods: born from the virtual pod, run by the host, shown in the virtual cluster as they really
//! are.

mod affinity;
mod dns;
mod downward_api;
mod env;
mod ephemeral;
pub mod hosts;
mod life;
mod newer;
mod place;
mod references;
mod resize;
mod status;
pub mod tokens;
mod translate;
mod update;
mod volumes;

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;

use crate::{
    caches::Caches,
    object_key::ObjectKey,
    plan::{Step, Twins},
    resource::{Reference, ResourceSyncer, Surroundings, TranslateError, Translation},
};

/// Syncs [`Pod`].
#[derive(Debug)]
pub struct Pods;

impl ResourceSyncer for Pods {
    type Object = Pod;

    fn references(object: &Pod) -> Vec<Reference> {
        references::of(object)
    }

    fn to_host(object: &Pod, cx: &Translation) -> Result<Pod, TranslateError> {
        translate::to_host(object, cx)
    }

    fn to_virtual(host: &Pod, object: &Pod, _: &Translation) -> Option<Pod> {
        status::to_virtual(host, object)
    }

    fn withheld(object: &Pod, _: &Translation) -> Option<String> {
        newer::is_of_a_group(object.spec.as_ref()?)
            .then(|| "spec.schedulingGroup is not known to the host's scheduler".to_owned())
    }

    fn is_applied() -> bool {
        false
    }

    fn surroundings(key: &ObjectKey, caches: &Caches) -> Surroundings {
        let Some(pod) = caches.pods.on_virtual.get(key) else {
            return Surroundings::default();
        };
        let namespace = key.namespace.clone().unwrap_or_default();
        let host = caches.pods.on_host.get(&caches.names.host_key(key));
        let mut around = Surroundings {
            namespace_labels: caches
                .namespaces
                .get(&ObjectKey::cluster_scoped(namespace.clone()))
                .map(|namespace| namespace.labels().clone())
                .unwrap_or_default(),
            ..Surroundings::default()
        };
        let node = host.as_deref().and_then(node_of);
        if let Some(node) = node {
            let key = ObjectKey::cluster_scoped(node);
            around.has_virtual_node = caches.nodes.on_virtual.get(&key).is_some();
        }
        if let Some(chosen) = node_of(&pod) {
            around.chosen_node = caches.nodes.on_host.get(&ObjectKey::cluster_scoped(chosen));
        }
        let is_debugged = |host: &Pod| !ephemeral::missing(&pod, host).is_empty();
        if node.is_none() || host.as_deref().is_some_and(is_debugged) {
            // What only matters when containers are born.
            around.services = caches
                .services
                .on_virtual
                .filter(|service| service.metadata.namespace.as_deref() == Some(&namespace));
            around.pending = pending(&pod, caches);
        }
        around
    }

    fn plan(twins: &Twins<Pod>, cx: &Translation) -> Result<Vec<Step<Pod>>, TranslateError> {
        life::plan(twins, cx)
    }
}

/// The node that a pod is bound to.
pub(crate) fn node_of(pod: &Pod) -> Option<&str> {
    pod.spec
        .as_ref()?
        .node_name
        .as_deref()
        .filter(|node| !node.is_empty())
}

/// What the pod needs that is in the virtual cluster but not on the host yet.
fn pending(pod: &Pod, caches: &Caches) -> Vec<Reference> {
    let mut references = references::of(pod);
    references.retain(|reference| caches.is_pending(reference));
    references
}
