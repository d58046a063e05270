//! Which of this cluster's pods are on which node, so that nobody has to look through all of them.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use k8s_openapi::api::core::v1::Pod;

use crate::{
    cache::Change,
    object_key::ObjectKey,
    resources::{node::Sighting, pod},
    write::Side,
};

/// Pods by their nodes, kept up to date from the changes of the pods of both sides.
#[derive(Debug, Default)]
pub(crate) struct Residents {
    nodes: Mutex<HashMap<String, HashMap<Resident, Sighting>>>,
}

/// A pod of one side.
type Resident = (Side, ObjectKey);

impl Residents {
    /// Takes in a change of a pod on `side`.
    pub(crate) fn update(&self, side: Side, change: &Change<Pod>) {
        let resident = (side, change.key.clone());
        let node =
            |pod: &Option<Arc<Pod>>| pod.as_deref().and_then(pod::node_of).map(str::to_owned);
        let (before, after) = (node(&change.before), node(&change.after));
        let mut nodes = self.nodes();
        if let Some(before) = before
            && let Entry::Occupied(mut residents) = nodes.entry(before)
        {
            residents.get_mut().remove(&resident);
            if residents.get().is_empty() {
                residents.remove();
            }
        }
        if let (Some(node), Some(pod)) = (after, &change.after) {
            let mut seen = Sighting::default();
            seen.add(pod);
            nodes.entry(node).or_default().insert(resident, seen);
        }
    }

    /// Is any pod on the node?
    pub(crate) fn is_used(&self, node: &str) -> bool {
        self.nodes().contains_key(node)
    }

    /// What the host's pods say of the node that they are on; none when there are none.
    pub(crate) fn sighting(&self, node: &str) -> Option<Sighting> {
        let nodes = self.nodes();
        let residents = nodes.get(node)?.iter();
        let of_host = residents.filter(|((side, _), _)| *side == Side::Host);
        let seen = of_host.map(|(_, seen)| seen.clone());
        seen.reduce(|mut all, seen| {
            all.merge(seen);
            all
        })
    }

    fn nodes(&self) -> MutexGuard<'_, HashMap<String, HashMap<Resident, Sighting>>> {
        self.nodes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(node: &str, address: &str) -> Arc<Pod> {
        let pod =
            json!({"spec": {"nodeName": node, "containers": []}, "status": {"hostIP": address}});
        Arc::new(serde_json::from_value(pod).unwrap())
    }

    fn see(
        residents: &Residents,
        (side, name): (Side, &str),
        before: Option<Arc<Pod>>,
        after: Option<Arc<Pod>>,
    ) {
        let key = ObjectKey::namespaced("default", name);
        residents.update(side, &Change { key, before, after });
    }

    #[test]
    fn a_node_is_used_until_the_last_pod_of_both_sides_is_gone() {
        let residents = Residents::default();
        let web = pod("worker", "172.18.0.2");
        see(&residents, (Side::Host, "web"), None, Some(web.clone()));
        // What is told twice counts once.
        see(&residents, (Side::Host, "web"), None, Some(web.clone()));
        see(&residents, (Side::Virtual, "web"), None, Some(web.clone()));
        see(&residents, (Side::Host, "web"), Some(web.clone()), None);
        assert!(residents.is_used("worker"));
        assert!(residents.sighting("worker").is_none());
        see(&residents, (Side::Virtual, "web"), Some(web), None);
        assert!(!residents.is_used("worker"));
        assert!(residents.nodes().is_empty());
    }

    #[test]
    fn all_that_the_hosts_pods_say_of_a_node_is_known() {
        let residents = Residents::default();
        for (name, address) in [("a", "172.18.0.2"), ("b", "fc00::2"), ("c", "172.18.0.2")] {
            see(
                &residents,
                (Side::Host, name),
                None,
                Some(pod("worker", address)),
            );
        }
        let other = pod("other", "172.18.0.3");
        see(&residents, (Side::Host, "d"), None, Some(other));
        let mut expected = Sighting::default();
        expected.add(&pod("worker", "172.18.0.2"));
        expected.add(&pod("worker", "fc00::2"));
        assert_eq!(residents.sighting("worker"), Some(expected));
    }

    #[test]
    fn a_pod_that_moves_is_on_one_node() {
        let residents = Residents::default();
        let (pending, bound) = (pod("", ""), pod("worker", ""));
        see(&residents, (Side::Host, "web"), None, Some(pending.clone()));
        assert!(residents.nodes().is_empty());
        see(
            &residents,
            (Side::Host, "web"),
            Some(pending),
            Some(bound.clone()),
        );
        see(
            &residents,
            (Side::Host, "web"),
            Some(bound),
            Some(pod("other", "")),
        );
        assert!(!residents.is_used("worker") && residents.is_used("other"));
    }
}
