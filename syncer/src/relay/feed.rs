//! Keeps a directory up to date from what the syncer watches anyway.

use kube::Resource;

use super::{
    directory::{ApiServer, Directory},
    shared::SharedDirectory,
};
use crate::{cache::Cache, caches::Caches, config::SyncConfig};

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
        // business unless it sees all of them.
        if config.sync.from_host.nodes.all {
            directory.follow(
                &caches.nodes.on_host,
                Directory::put_node,
                Directory::remove_node,
            );
        }
        directory
    }

    fn follow<K>(
        &self,
        cache: &Cache<K>,
        put: fn(&mut Directory, &K),
        remove: fn(&mut Directory, &str),
    ) where
        K: Resource + Send + Sync + 'static,
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

    use super::*;
    use crate::{
        config::tests::config,
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
    fn nodes_without_pods_are_the_tenants_only_if_it_sees_all() {
        for all in [true, false] {
            let caches = Caches::new(names(), config().sync);
            let mut config = config();
            config.sync.from_host.nodes.all = all;
            let directory = SharedDirectory::following(&caches, &config);
            let mut node = Node::default();
            node.metadata.name = Some("node-1".to_owned());
            node.status = Some(NodeStatus {
                addresses: Some(vec![NodeAddress {
                    address: NODE_ADDRESS.to_owned(),
                    type_: "InternalIP".to_owned(),
                }]),
                ..NodeStatus::default()
            });
            caches.nodes.on_host.insert(node);
            for target in ["172.18.0.3:10250", "node-1:10250"] {
                assert_eq!(route(&directory, target).is_ok(), all, "{target}");
            }
            assert!(route(&directory, "172.18.0.3:10255").is_err());
        }
    }
}
