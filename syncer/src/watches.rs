//! What is watched on which side, as the configuration says, and when all of it has been seen.

use futures::future::{BoxFuture, FutureExt, join_all};
use kube::{Client, runtime::watcher};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::{
    cache::Cache,
    caches::{Caches, Pair},
    config, labels,
    resource::Synced,
    trim,
    write::Side,
};

/// One cache and what it shows.
struct Watch {
    side: Side,
    shows: Shows,
    cache: Box<dyn Fed>,
}

/// How much of a side.
#[derive(Clone, Copy)]
enum Shows {
    Everything,
    /// What carries this cluster's label.
    Ours,
    /// All of it, in all namespaces of the host.
    Everybodys,
}

impl Caches {
    fn watches(&self) -> Vec<Watch> {
        let mut all = vec![
            on_virtual(&self.namespaces, trim::nothing),
            on_virtual(&self.pods.on_virtual, trim::nothing),
            on_host(&self.pods.on_host, Shows::Ours, trim::host_pod),
            on_virtual(&self.nodes.on_virtual, trim::node),
        ];
        if self.sync.from_host.nodes.enabled {
            all.push(on_host(&self.nodes.on_host, Shows::Everything, trim::node));
        }
        all.extend(pair(&self.endpoint_slices, Shows::Everything));
        all.extend(pair(&self.services, Shows::Ours));
        all.extend(pair(&self.endpoints, Shows::Ours));
        all.extend(pair(&self.config_maps, Shows::Ours));
        all.push(on_virtual(&self.secrets.on_virtual, trim::nothing));
        all.push(on_host(
            &self.secrets.on_host,
            Shows::Ours,
            trim::host_secret,
        ));
        let (to_host, from_host) = (&self.sync.to_host, &self.sync.from_host);
        if to_host.persistent_volume_claims.enabled {
            all.extend(pair(&self.claims, Shows::Ours));
            all.push(on_virtual(&self.volumes.on_virtual, trim::nothing));
        }
        if to_host.persistent_volumes.enabled {
            all.push(on_host(&self.volumes.on_host, Shows::Ours, trim::nothing));
        }
        if to_host.service_accounts.enabled {
            all.extend(pair(&self.service_accounts, Shows::Ours));
        }
        if to_host.ingresses.enabled {
            all.extend(pair(&self.ingresses, Shows::Ours));
        }
        if to_host.network_policies.enabled {
            all.extend(pair(&self.network_policies, Shows::Ours));
        }
        if to_host.pod_disruption_budgets.enabled {
            all.extend(pair(&self.disruption_budgets, Shows::Ours));
        }
        if let Some(shows) = class(to_host.priority_classes, from_host.priority_classes) {
            all.extend(pair(&self.priority_classes, shows));
        }
        if let Some(shows) = class(to_host.storage_classes, from_host.storage_classes) {
            all.extend(pair(&self.storage_classes, shows));
        }
        if from_host.ingress_classes.enabled {
            all.extend(pair(&self.ingress_classes, Shows::Everything));
        }
        if from_host.runtime_classes.enabled {
            all.extend(pair(&self.runtime_classes, Shows::Everything));
        }
        if self.sync.virtual_scheduler.enabled {
            let everybodys = Shows::Everybodys;
            all.push(on_host(&self.everybodys_pods, everybodys, trim::room));
        }
        if self.sync.shows_drivers() {
            let everybodys = Shows::Everybodys;
            all.push(on_host(&self.everybodys_volumes, everybodys, trim::reach));
            all.extend(pair(&self.csi_drivers, everybodys));
            all.extend(pair(&self.csi_nodes, everybodys));
            all.extend(pair(&self.csi_capacities, everybodys));
        }
        all
    }

    /// Starts all watches into `tasks`.
    pub(crate) fn watch(
        &self,
        virtual_client: &Client,
        host_client: &Client,
        tasks: &mut JoinSet<()>,
        stop: &CancellationToken,
    ) {
        for Watch { side, shows, cache } in self.watches() {
            let client = match side {
                Side::Virtual => virtual_client,
                Side::Host => host_client,
            };
            let scope = match (side, shows) {
                (Side::Virtual, _) | (Side::Host, Shows::Everybodys) => None,
                (Side::Host, _) => Some(self.names.host_namespace()),
            };
            // From the server's own cache: quicker, and what is newer comes with the watch.
            let mut config = watcher::Config::default().any_semantic();
            config.label_selector = match shows {
                Shows::Everything | Shows::Everybodys => None,
                Shows::Ours if cache.is_namespaced() => Some(self.names.managed_by().to_owned()),
                Shows::Ours => Some(self.names.managed_by_cluster_scoped()),
            }
            .map(|value| format!("{}={value}", labels::MANAGED_BY));
            tasks.spawn(cache.feed(client, scope, config, stop.clone()));
        }
    }

    /// Waits until every cache has seen its whole list once.
    pub async fn wait_until_ready(&self) {
        let watches = self.watches().into_iter();
        join_all(watches.map(|watch| watch.cache.ready())).await;
    }

    /// Which caches have not seen their whole list yet.
    pub fn not_ready(&self) -> Vec<String> {
        let watches = self.watches().into_iter();
        watches
            .filter(|watch| !watch.cache.is_ready())
            .map(|Watch { side, cache, .. }| match side {
                Side::Virtual => format!("virtual {}", cache.plural()),
                Side::Host => format!("host {}", cache.plural()),
            })
            .collect()
    }
}

fn on_virtual<K: Synced>(cache: &Cache<K>, trim: fn(&mut K)) -> Watch {
    Watch {
        side: Side::Virtual,
        shows: Shows::Everything,
        cache: Box::new(Trimmed {
            cache: cache.clone(),
            trim,
        }),
    }
}

fn on_host<K: Synced>(cache: &Cache<K>, shows: Shows, trim: fn(&mut K)) -> Watch {
    Watch {
        side: Side::Host,
        shows,
        ..on_virtual(cache, trim)
    }
}

fn pair<K: Synced>(pair: &Pair<K>, shows: Shows) -> [Watch; 2] {
    [
        on_virtual(&pair.on_virtual, trim::nothing),
        on_host(&pair.on_host, shows, trim::nothing),
    ]
}

/// Classes go one way or the other: the tenant's to the host, or all of the host's to the tenant.
fn class(to_host: config::Switch, from_host: config::Switch) -> Option<Shows> {
    match (to_host.enabled, from_host.enabled) {
        (true, _) => Some(Shows::Ours),
        (false, true) => Some(Shows::Everything),
        (false, false) => None,
    }
}

/// What the caches of all kinds have in common.
trait Fed {
    fn plural(&self) -> String;
    fn is_namespaced(&self) -> bool;
    fn is_ready(&self) -> bool;
    fn ready(&self) -> BoxFuture<'static, ()>;
    fn feed(
        &self,
        client: &Client,
        namespace: Option<&str>,
        config: watcher::Config,
        stop: CancellationToken,
    ) -> BoxFuture<'static, ()>;
}

struct Trimmed<K> {
    cache: Cache<K>,
    trim: fn(&mut K),
}

impl<K: Synced> Fed for Trimmed<K> {
    fn plural(&self) -> String {
        K::plural(&()).into_owned()
    }

    fn is_namespaced(&self) -> bool {
        K::is_namespaced()
    }

    fn is_ready(&self) -> bool {
        self.cache.is_ready()
    }

    fn ready(&self) -> BoxFuture<'static, ()> {
        let cache = self.cache.clone();
        async move { cache.wait_until_ready().await }.boxed()
    }

    fn feed(
        &self,
        client: &Client,
        namespace: Option<&str>,
        config: watcher::Config,
        stop: CancellationToken,
    ) -> BoxFuture<'static, ()> {
        let api = K::api(client, namespace);
        self.cache
            .clone()
            .watch(api, config, self.trim, stop)
            .boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resource::tests::names;

    #[test]
    fn what_is_switched_off_is_not_waited_for() {
        let names_of = |sync| {
            let mut names = Caches::new(names(), sync).not_ready();
            names.sort();
            names
        };
        let usual = names_of(config::Sync::default());
        assert!(usual.contains(&"host pods".to_owned()));
        assert!(usual.contains(&"virtual persistentvolumeclaims".to_owned()));
        assert!(!usual.iter().any(|name| name.ends_with("ingresses")));

        let mut sync = config::Sync::default();
        sync.to_host.ingresses.enabled = true;
        sync.to_host.persistent_volume_claims.enabled = false;
        let other = names_of(sync);
        assert!(other.contains(&"host ingresses".to_owned()));
        assert!(!other.iter().any(|name| name.contains("persistentvolume")));
    }
}
