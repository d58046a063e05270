//! What is synced: the part of the configuration that a user writes.

use k8s_openapi::api::core::v1::Toleration;
use serde::{Deserialize, Serialize};

use super::{
    error::{Error, explain},
    keys::Keys,
    nodes::{Nodes, Shown},
    tolerations,
};

/// What is synced, by direction.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Sync {
    /// From the virtual cluster to the host.
    pub to_host: ToHost,
    /// From the host to the virtual cluster.
    pub from_host: FromHost,
    /// A scheduler in the virtual cluster binds the tenant's pods, and heeds what the tenant says of
    /// nodes. Pods are on the host once they are bound.
    pub virtual_scheduler: Switch,
}

/// What goes to the host. Pods, services and their endpoints always do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct ToHost {
    /// Annotations of all kinds of objects: all but those by which add-ons of the host would give the
    /// tenant what is not its own.
    pub annotations: Keys,
    /// Labels, as annotations. A selector that asks for one that is held finds nothing on the host.
    pub labels: Keys,
    /// Pods.
    pub pods: Pods,
    /// Services, and the endpoints that the tenant writes for them.
    pub services: Services,
    /// Config maps.
    pub config_maps: Content,
    /// Secrets.
    pub secrets: Content,
    /// Volume claims. Their volumes appear in the virtual cluster.
    pub persistent_volume_claims: Switch,
    /// Volumes that the tenant writes, under other names. Claims may then name or select them.
    pub persistent_volumes: Switch,
    /// Storage classes, under other names.
    pub storage_classes: Switch,
    /// Ingresses.
    pub ingresses: Switch,
    /// Network policies.
    pub network_policies: Switch,
    /// Disruption budgets of pods.
    pub pod_disruption_budgets: Switch,
    /// Priority classes, under other names and below the host's own.
    pub priority_classes: Switch,
    /// Service accounts, which the tenant's pods then run under.
    pub service_accounts: Switch,
}

impl Default for ToHost {
    fn default() -> Self {
        Self {
            annotations: Keys::default(),
            labels: Keys::default(),
            pods: Pods::default(),
            services: Services::default(),
            config_maps: Content::default(),
            secrets: Content::default(),
            persistent_volume_claims: Switch::ON,
            persistent_volumes: Switch::OFF,
            storage_classes: Switch::OFF,
            ingresses: Switch::OFF,
            network_policies: Switch::OFF,
            pod_disruption_budgets: Switch::OFF,
            priority_classes: Switch::OFF,
            service_accounts: Switch::OFF,
        }
    }
}

/// How pods go to the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Pods {
    /// Pods with a subdomain, such as those of stateful sets, find their own full name in `/etc/hosts`.
    pub rewrite_hosts: Switch,
    /// What every pod tolerates on the host, so that the tenant sees no such taint: `*`, `key`,
    /// `key=value`, `key:effect` or `key=value:effect`.
    pub enforce_tolerations: Vec<String>,
    /// Schedulers of the host, beside its usual one, that pods may ask for. A pod that names any other
    /// goes to the host once a scheduler in the virtual cluster has bound it.
    pub scheduler_names: Vec<String>,
}

impl Pods {
    /// What every pod tolerates on the host. What is no toleration, and was refused by
    /// [`Sync::check`], is left out.
    pub fn enforced_tolerations(&self) -> Vec<Toleration> {
        let texts = self.enforce_tolerations.iter();
        texts.filter_map(|text| tolerations::parse(text)).collect()
    }
}

impl Default for Pods {
    fn default() -> Self {
        Self {
            rewrite_hosts: Switch::ON,
            enforce_tolerations: Vec::new(),
            scheduler_names: Vec::new(),
        }
    }
}

/// What of services goes to the host that may lead others than the tenant astray there: nothing, unless
/// said so.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Services {
    /// External addresses, which the whole host then takes for the service's.
    #[serde(rename = "externalIPs")]
    pub external_ips: Switch,
    /// Services that are another name, which ingress controllers of the host then follow.
    pub external_names: Switch,
    /// Addresses that are not those of the tenant's pods, behind services that are open to the outside.
    pub foreign_endpoints: Switch,
}

/// Whether something is done; not unless said so.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Switch {
    /// It is done.
    pub enabled: bool,
}

impl Switch {
    /// Done.
    pub const ON: Self = Self { enabled: true };
    /// Not done.
    pub const OFF: Self = Self { enabled: false };
}

/// How much of a kind goes to the host.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Content {
    /// All objects, not only those that a pod uses.
    pub all: bool,
}

/// What comes from the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct FromHost {
    /// Nodes.
    pub nodes: Nodes,
    /// Events about synced objects.
    pub events: Switch,
    /// Storage classes.
    pub storage_classes: Switch,
    /// Ingress classes.
    pub ingress_classes: Switch,
    /// Priority classes, whose names pods may then carry to the host.
    pub priority_classes: Switch,
    /// Runtime classes.
    pub runtime_classes: Switch,
    /// What the tenant's pods and nodes use, as the API group `metrics.k8s.io`. It comes from the
    /// nodes' metrics.
    pub metrics_server: Switch,
}

impl Default for FromHost {
    fn default() -> Self {
        Self {
            nodes: Nodes::default(),
            events: Switch::ON,
            storage_classes: Switch::OFF,
            ingress_classes: Switch::OFF,
            priority_classes: Switch::OFF,
            runtime_classes: Switch::OFF,
            metrics_server: Switch::OFF,
        }
    }
}

/// A file that says what is synced, and nothing else.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    sync: Sync,
}

impl Sync {
    /// Reads what is synced from YAML: a mapping with the one key `sync`.
    ///
    /// # Errors
    /// Names an unknown key and the known one nearest to it, or what does not go together.
    pub fn from_yaml(text: &str) -> Result<Self, Error> {
        let File { sync } = serde_yaml_ng::from_str(text).map_err(explain)?;
        sync.check()?;
        Ok(sync)
    }

    /// Switches on what a scheduler in the virtual cluster must see, which is nodes, and where there
    /// are claims, the host's classes; and what a metrics server is made of. What is complete stays as
    /// it is.
    #[must_use]
    pub fn completed(mut self) -> Self {
        if self.virtual_scheduler.enabled {
            let (to_host, from_host) = (&self.to_host, &mut self.from_host);
            if from_host.nodes.shown() == Shown::Used {
                from_host.nodes.selector.all = true;
            }
            if to_host.persistent_volume_claims.enabled && !to_host.storage_classes.enabled {
                from_host.storage_classes.enabled = true;
            }
        }
        if self.from_host.metrics_server.enabled {
            self.from_host.nodes.metrics = Switch::ON;
        }
        self
    }

    /// Does the tenant see the host's storage drivers and how much room they have?
    pub fn shows_drivers(&self) -> bool {
        self.virtual_scheduler.enabled && self.to_host.persistent_volume_claims.enabled
    }

    /// Says what does not go together.
    ///
    /// # Errors
    /// Names the first contradiction, such as a kind that is to go both ways.
    pub fn check(&self) -> Result<(), Error> {
        let (to_host, from_host) = (&self.to_host, &self.from_host);
        for (kind, there, back) in [
            (
                "storageClasses",
                to_host.storage_classes,
                from_host.storage_classes,
            ),
            (
                "priorityClasses",
                to_host.priority_classes,
                from_host.priority_classes,
            ),
        ] {
            if there.enabled && back.enabled {
                return Err(Error::BothWays { kind });
            }
        }
        if to_host.persistent_volumes.enabled && !to_host.persistent_volume_claims.enabled {
            return Err(Error::VolumesWithoutClaims);
        }
        for text in &to_host.pods.enforce_tolerations {
            if tolerations::parse(text).is_none() {
                return Err(Error::Toleration { text: text.clone() });
            }
        }
        if self.virtual_scheduler.enabled && !from_host.nodes.enabled {
            return Err(Error::SchedulerWithoutNodes);
        }
        if self.virtual_scheduler.enabled && !to_host.pods.scheduler_names.is_empty() {
            return Err(Error::SchedulersTwice);
        }
        to_host
            .annotations
            .check(["annotations.hold", "annotations.pass"])?;
        to_host.labels.check(["labels.hold", "labels.pass"])?;
        if from_host.metrics_server.enabled && !from_host.nodes.enabled {
            return Err(Error::MetricsWithoutNodes);
        }
        from_host.nodes.check()
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[test]
    fn what_is_not_said_is_as_usual() {
        let sync = Sync::from_yaml("sync: {toHost: {ingresses: {enabled: true}}}").unwrap();
        let mut expected = Sync::default();
        expected.to_host.ingresses.enabled = true;
        assert_eq!(sync, expected);
        assert!(expected.to_host.persistent_volume_claims.enabled);
        assert_eq!(Sync::from_yaml("{}").unwrap(), Sync::default());
    }

    #[rstest]
    #[case::at_the_top("synch: {}", "synch", "sync")]
    #[case::further_down("sync: {toHost: {ingress: {}}}", "ingress", "ingresses")]
    fn an_unknown_key_names_the_nearest(
        #[case] text: &str,
        #[case] unknown: &str,
        #[case] expected: &str,
    ) {
        match Sync::from_yaml(text).unwrap_err() {
            Error::UnknownKey { key, nearest, .. } => {
                assert_eq!((key.as_str(), nearest.as_str()), (unknown, expected));
            }
            other => panic!("{other:?}"),
        }
    }

    #[rstest]
    #[case::usually("{}", true, true)]
    #[case::with_chosen_nodes(
        "{fromHost: {nodes: {selector: {labels: {disk: fast}}}}}",
        false,
        true
    )]
    #[case::with_the_tenants_classes("{toHost: {storageClasses: {enabled: true}}}", true, false)]
    #[case::without_claims("{toHost: {persistentVolumeClaims: {enabled: false}}}", true, false)]
    fn a_scheduler_sees_nodes_and_classes(
        #[case] sync: &str,
        #[case] all_nodes: bool,
        #[case] classes: bool,
    ) {
        let usual = Sync::from_yaml(&format!("sync: {sync}")).unwrap();
        assert_eq!(usual.clone().completed(), usual);
        let mut sync = usual;
        sync.virtual_scheduler.enabled = true;
        let complete = sync.completed();
        assert_eq!(complete.from_host.nodes.selector.all, all_nodes);
        assert_eq!(complete.from_host.storage_classes.enabled, classes);
        complete.check().unwrap();
        assert_eq!(complete.clone().completed(), complete);
    }

    #[test]
    fn a_metrics_server_asks_nodes() {
        let text = "sync: {fromHost: {metricsServer: {enabled: true}, nodes: {enabled: false}}}";
        let error = Sync::from_yaml(text).unwrap_err();
        assert!(matches!(error, Error::MetricsWithoutNodes), "{error:?}");
        let text = "sync: {fromHost: {metricsServer: {enabled: true}}}";
        let sync = Sync::from_yaml(text).unwrap().completed();
        assert!(sync.from_host.nodes.metrics.enabled);
    }

    #[test]
    fn a_scheduler_needs_real_nodes() {
        let text = "sync: {virtualScheduler: {enabled: true}, fromHost: {nodes: {enabled: false}}}";
        let error = Sync::from_yaml(text).unwrap_err();
        assert!(matches!(error, Error::SchedulerWithoutNodes), "{error:?}");
    }

    #[test]
    fn a_pod_has_one_scheduler() {
        let text = "sync: {virtualScheduler: {enabled: true}, toHost: {pods: {schedulerNames: [volcano]}}}";
        let error = Sync::from_yaml(text).unwrap_err();
        assert!(matches!(error, Error::SchedulersTwice), "{error:?}");
    }

    #[rstest]
    #[case::storage("storageClasses")]
    #[case::priority("priorityClasses")]
    fn a_class_goes_one_way(#[case] kind: &str) {
        let text = format!(
            "sync: {{toHost: {{{kind}: {{enabled: true}}}}, fromHost: {{{kind}: {{enabled: true}}}}}}"
        );
        match Sync::from_yaml(&text).unwrap_err() {
            Error::BothWays { kind: found } => assert_eq!(found, kind),
            other => panic!("{other:?}"),
        }
    }
}
