//! Keeps a directory up to date from what the syncer watches anyway.

use std::collections::BTreeMap;

use super::{
    directory::{ApiServer, Directory},
    shared::SharedDirectory,
};
use crate::{
    cache::Cache,
    caches::Caches,
    config::{Shown, SyncConfig},
    resource::Synced,
    resources::node,
};

impl SharedDirectory {
    /// A directory that follows `caches`. It must be made before their watches start, or it misses
    /// what they have seen.
    pub fn following(caches: &Caches, config: &SyncConfig) -> Self {
        let api = ApiServer {
            address: config.api_address,
            service: config.service.clone(),
        };
        let directory = Self::new(Directory::new(caches.names.clone(), api));
        directory.follow(
            &caches.pods.on_host,
            Directory::put_pod,
            Directory::remove_pod,
        );
        directory.follow(
            &caches.services.on_host,
            Directory::put_service,
            Directory::remove_service,
        );
        directory.follow(
            &caches.endpoint_slices.on_host,
            Directory::put_slice,
            Directory::remove_slice,
        );
        // The nodes that carry pods are known from the pods; others are none of the tenant's
        // business unless it sees them.
        let labels = match config.sync.from_host.nodes.shown() {
            Shown::MadeUp | Shown::Used => return directory,
            Shown::Labelled(labels) => labels.clone(),
            Shown::All => BTreeMap::new(),
        };
        let shared = directory.clone();
        caches.nodes.on_host.subscribe(move |change| {
            let node = change.after.as_deref();
            let node = node.filter(|node| node::has_labels(node, &labels));
            shared.update(|directory| match node {
                Some(node) => directory.put_node(node),
                None => directory.remove_node(&change.key.name),
            });
        });
        directory
    }

    fn follow<K>(
        &self,
        cache: &Cache<K>,
        put: fn(&mut Directory, &K),
        remove: fn(&mut Directory, &str),
    ) where
        K: Synced,
    {
        let directory = self.clone();
        cache.subscribe(move |change| {
            directory.update(|directory| match &change.after {
                Some(object) => put(directory, object),
                None => remove(directory, &change.key.name),
            });
        });
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::{Node, NodeAddress, NodeStatus, Pod};
    use kube::ResourceExt;

    use super::*;
    use crate::{
        config::{NodeSelector, tests::config},
        relay::{
            Refusal, Route, Target,
            identity::tests::names,
            tests::{NODE_ADDRESS, pod, service, slice},
        },
    };

    fn route(directory: &SharedDirectory, target: &str) -> Result<Route, Refusal> {
        directory.read(|directory| directory.route(&Target::parse(target).unwrap()))
    }

    #[test]
    fn what_the_host_has_is_reached_as_long_as_it_is_there() {
        let caches = Caches::new(names(), config().sync);
        let directory = SharedDirectory::following(&caches, &config());
        let mut written = service("written", "10.96.17.30");
        written.spec.as_mut().unwrap().selector = None;
        let reached = [
            "10.244.0.5:80",
            "10.96.17.20:80",
            "10.96.17.30:80",
            "172.18.0.3:10250",
        ];

        caches.pods.on_host.insert(pod("web", "10.244.0.5"));
        caches
            .services
            .on_host
            .insert(service("web", "10.96.17.20"));
        caches.services.on_host.insert(written);
        let endpoints = slice("written-x-default-x-test", &["10.244.0.5"]);
        caches.endpoint_slices.on_host.insert(endpoints);
        for target in reached {
            assert!(route(&directory, target).is_ok(), "{target}");
        }

        let mut over: Pod = pod("web", "10.244.0.5");
        over.metadata.annotations = None;
        caches.pods.on_host.insert(over);
        caches
            .services
            .on_host
            .remove(service("web", "10.96.17.20"));
        for target in reached {
            assert!(route(&directory, target).is_err(), "{target}");
        }
    }

    #[test]
    fn nodes_without_pods_are_the_tenants_only_if_it_sees_them() {
        let labelled = |value: &str| NodeSelector {
            all: false,
            labels: [("disk".to_owned(), value.to_owned())].into(),
        };
        let all = NodeSelector {
            all: true,
            ..NodeSelector::default()
        };
        for (selector, is_seen) in [
            (all, true),
            (labelled("fast"), true),
            (labelled("slow"), false),
            (NodeSelector::default(), false),
        ] {
            let caches = Caches::new(names(), config().sync);
            let mut config = config();
            config.sync.from_host.nodes.selector = selector.clone();
            let directory = SharedDirectory::following(&caches, &config);
            let mut node = Node::default();
            node.metadata.name = Some("node-1".to_owned());
            node.labels_mut()
                .insert("disk".to_owned(), "fast".to_owned());
            node.status = Some(NodeStatus {
                addresses: Some(vec![NodeAddress {
                    address: NODE_ADDRESS.to_owned(),
                    type_: "InternalIP".to_owned(),
                }]),
                ..NodeStatus::default()
            });
            caches.nodes.on_host.insert(node.clone());
            for target in ["172.18.0.3:10250", "node-1:10250"] {
                let found = route(&directory, target);
                assert_eq!(found.is_ok(), is_seen, "{target} with {selector:?}");
            }
            node.labels_mut()
                .insert("disk".to_owned(), "slow".to_owned());
            caches.nodes.on_host.insert(node);
            let is_still_seen = route(&directory, "node-1:10250").is_ok();
            assert_eq!(is_still_seen, selector.labels.is_empty() == is_seen);
            assert!(route(&directory, "172.18.0.3:10255").is_err());
        }
    }
}
