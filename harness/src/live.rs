//! The clusters that this process would leave behind if it ended now. Holds kubeconfigs, never clients.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use kube::config::Kubeconfig;

/// A cluster that is to be deleted should a signal end this process.
#[derive(Debug, Clone)]
pub struct Live {
    /// The virtual cluster's name.
    pub name: String,
    /// Its namespace on the host.
    pub namespace: String,
    /// How to reach the host.
    pub host: Arc<Kubeconfig>,
}

/// An entry in the registry. Dropping it does not take the cluster off: who forgets to delete a
/// cluster should not have it forgotten as well.
#[derive(Debug)]
#[must_use = "call `deleted` when the cluster is"]
pub struct Registration {
    id: u64,
}

#[derive(Debug)]
struct Registry {
    next: u64,
    live: BTreeMap<u64, Live>,
}

static REGISTRY: Mutex<Registry> = Mutex::new(Registry {
    next: 0,
    live: BTreeMap::new(),
});

/// Enters a cluster. Do this before anything of it exists on the host.
pub fn register(live: Live) -> Registration {
    let mut registry = REGISTRY.lock().unwrap_or_else(PoisonError::into_inner);
    let id = registry.next;
    registry.next += 1;
    registry.live.insert(id, live);
    Registration { id }
}

/// All clusters that are entered now.
pub fn all() -> Vec<Live> {
    let registry = REGISTRY.lock().unwrap_or_else(PoisonError::into_inner);
    registry.live.values().cloned().collect()
}

impl Registration {
    /// The cluster's deletion has begun, or it is to be kept: it is no longer a signal's business.
    pub fn deleted(self) {
        let mut registry = REGISTRY.lock().unwrap_or_else(PoisonError::into_inner);
        registry.live.remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn live(name: &str) -> Live {
        Live {
            name: name.to_owned(),
            namespace: name.to_owned(),
            host: Arc::new(Kubeconfig::default()),
        }
    }

    fn is_entered(name: &str) -> bool {
        all().iter().any(|live| live.name == name)
    }

    #[test]
    fn a_cluster_is_entered_until_it_is_deleted() {
        let first = register(live("live-a"));
        drop(register(live("live-b")));
        assert!(is_entered("live-a"));
        first.deleted();
        assert!(!is_entered("live-a"));
        assert!(is_entered("live-b"), "dropping is not deleting");
    }
}
