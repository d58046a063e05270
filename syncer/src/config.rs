//! What a syncer must know of its cluster. It is read from a file that the harness writes.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

/// The configuration of one syncer, for one virtual cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SyncConfig {
    /// The virtual cluster's name.
    pub cluster: String,
    /// The host namespace that holds it.
    pub host_namespace: String,
    /// That namespace's uid: what is made outside of it ends with it. Without one, nothing of the
    /// tenant's goes to the host that is in no namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_namespace_uid: Option<String>,
    /// The host Service of its API server.
    pub service: String,
    /// The host `ServiceAccount` that the tenant's pods run under.
    pub workload_service_account: String,
    /// The DNS domain inside the virtual cluster.
    #[serde(default = "cluster_domain")]
    pub cluster_domain: String,
    /// The address of the virtual cluster's DNS service.
    pub dns_address: IpAddr,
    /// The address of the virtual API server's Service, the same on both sides.
    pub api_address: IpAddr,
    /// How to reach the virtual API server.
    #[serde(default = "virtual_kubeconfig")]
    pub virtual_kubeconfig: PathBuf,
    /// The folder with the cluster's certificates and keys.
    #[serde(default = "pki")]
    pub pki: PathBuf,
    /// The unix socket on which the relay listens.
    #[serde(default = "relay_socket")]
    pub relay_socket: PathBuf,
    /// Where `/healthz`, `/readyz` and `/metrics` are served.
    #[serde(default = "health_address")]
    pub health_address: SocketAddr,
    /// The image of the virtual cluster's DNS server; without one there is no DNS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub coredns_image: Option<String>,
    /// What is synced, and how.
    #[serde(default)]
    pub sync: Sync,
}

/// What is synced, by direction.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Sync {
    /// From the virtual cluster to the host.
    pub to_host: ToHost,
    /// From the host to the virtual cluster.
    pub from_host: FromHost,
}

/// What goes to the host. Pods, services and their endpoints always do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct ToHost {
    /// Config maps.
    pub config_maps: Content,
    /// Secrets.
    pub secrets: Content,
    /// Volume claims. Their volumes appear in the virtual cluster.
    pub persistent_volume_claims: Switch,
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
            config_maps: Content::default(),
            secrets: Content::default(),
            persistent_volume_claims: Switch::ON,
            storage_classes: Switch::OFF,
            ingresses: Switch::OFF,
            network_policies: Switch::OFF,
            pod_disruption_budgets: Switch::OFF,
            priority_classes: Switch::OFF,
            service_accounts: Switch::OFF,
        }
    }
}

/// Whether a kind is synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Switch {
    /// It is.
    pub enabled: bool,
}

impl Switch {
    /// Synced.
    pub const ON: Self = Self { enabled: true };
    /// Not synced.
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
        }
    }
}

/// Which nodes the tenant sees.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Nodes {
    /// All of them, not only those that carry the tenant's pods.
    pub all: bool,
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file is not readable.
    #[error("could not read the configuration {}", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A key that nobody knows.
    #[error("unknown key `{key}` in the configuration; did you mean `{nearest}`?")]
    UnknownKey {
        /// The key.
        key: String,
        /// The known key that reads most alike.
        nearest: String,
        /// Where it stands.
        source: serde_yaml_ng::Error,
    },
    /// A kind that is to go both ways.
    #[error("`{kind}` cannot go to the host and come from it as well: switch one of them off")]
    BothWays {
        /// The kind, as the configuration calls it.
        kind: &'static str,
    },
    /// Not a configuration.
    #[error("the configuration is not valid")]
    Parse(#[from] serde_yaml_ng::Error),
}

impl SyncConfig {
    /// The usual configuration of the cluster `cluster` in `host_namespace`.
    pub fn new(
        cluster: impl Into<String>,
        host_namespace: impl Into<String>,
        api_address: IpAddr,
        dns_address: IpAddr,
    ) -> Self {
        let cluster = cluster.into();
        Self {
            host_namespace: host_namespace.into(),
            host_namespace_uid: None,
            service: cluster.clone(),
            workload_service_account: format!("vc-workload-{cluster}"),
            cluster_domain: cluster_domain(),
            dns_address,
            api_address,
            virtual_kubeconfig: virtual_kubeconfig(),
            pki: pki(),
            relay_socket: relay_socket(),
            health_address: health_address(),
            coredns_image: None,
            sync: Sync::default(),
            cluster,
        }
    }

    /// Reads a configuration from YAML.
    pub fn from_yaml(text: &str) -> Result<Self, Error> {
        let config: Self = serde_yaml_ng::from_str(text).map_err(explain)?;
        config.sync.check()?;
        Ok(config)
    }

    /// Reads the configuration in the file `path`.
    pub fn load(path: &Path) -> Result<Self, Error> {
        let text = std::fs::read_to_string(path).map_err(|source| Error::Read {
            path: path.to_owned(),
            source,
        })?;
        Self::from_yaml(&text)
    }
}

impl Sync {
    /// Says what does not go together.
    ///
    /// # Errors
    /// Names the first kind that is to go both ways.
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
        Ok(())
    }
}

/// Names the known key that an unknown one most likely stands for.
fn explain(source: serde_yaml_ng::Error) -> Error {
    // serde knows the list of valid keys but gives it in words only.
    let text = source.to_string();
    let Some((_, rest)) = text.split_once("unknown field `") else {
        return Error::Parse(source);
    };
    let mut quoted = rest.split('`').step_by(2).map(str::to_owned);
    let Some(key) = quoted.next() else {
        return Error::Parse(source);
    };
    let known = rest.split('`').skip(2).step_by(2);
    let nearest = known.max_by(|a, b| {
        let similarity =
            |known: &str| strsim::jaro_winkler(&key.to_lowercase(), &known.to_lowercase());
        similarity(a).total_cmp(&similarity(b))
    });
    match nearest {
        Some(nearest) => Error::UnknownKey {
            nearest: nearest.to_owned(),
            key,
            source,
        },
        None => Error::Parse(source),
    }
}

fn cluster_domain() -> String {
    "cluster.local".to_owned()
}

fn virtual_kubeconfig() -> PathBuf {
    "/pki/syncer.conf".into()
}

fn pki() -> PathBuf {
    "/pki".into()
}

fn relay_socket() -> PathBuf {
    "/run/vcluster/relay.sock".into()
}

fn health_address() -> SocketAddr {
    SocketAddr::from(([0, 0, 0, 0], 8080))
}

#[cfg(test)]
pub(crate) mod tests {
    use rstest::rstest;

    use super::*;

    /// The configuration that other tests start from.
    pub(crate) fn config() -> SyncConfig {
        SyncConfig::new(
            "test",
            "vcluster-test",
            IpAddr::from([10, 96, 17, 1]),
            IpAddr::from([10, 96, 17, 10]),
        )
    }

    #[test]
    fn a_written_configuration_reads_back() {
        let text = serde_yaml_ng::to_string(&config()).unwrap();
        assert_eq!(SyncConfig::from_yaml(&text).unwrap(), config());
    }

    #[test]
    fn what_has_a_usual_value_may_be_left_out() {
        let text = "{cluster: test, hostNamespace: vcluster-test, service: test, \
            workloadServiceAccount: vc-workload-test, dnsAddress: 10.96.17.10, apiAddress: 10.96.17.1}";
        assert_eq!(SyncConfig::from_yaml(text).unwrap(), config());
    }

    #[rstest]
    #[case::at_the_top("hostNamspace: web", "hostNamspace", "hostNamespace")]
    #[case::in_another_spelling("dns_address: web", "dns_address", "dnsAddress")]
    #[case::further_down("sync: {toHost: {configmaps: {}}}", "configmaps", "configMaps")]
    #[case::an_only_child("sync: {fromHost: {nodes: {every: true}}}", "every", "all")]
    fn an_unknown_key_is_an_error_that_names_the_nearest(
        #[case] text: &str,
        #[case] unknown: &str,
        #[case] expected: &str,
    ) {
        match SyncConfig::from_yaml(text).unwrap_err() {
            Error::UnknownKey { key, nearest, .. } => {
                assert_eq!((key.as_str(), nearest.as_str()), (unknown, expected));
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_class_goes_one_way() {
        let text = serde_yaml_ng::to_string(&config()).unwrap();
        let both = "sync: {toHost: {storageClasses: {enabled: true}}, \
            fromHost: {storageClasses: {enabled: true}}}";
        let (head, _) = text.split_once("sync:").unwrap();
        let error = SyncConfig::from_yaml(&format!("{head}{both}")).unwrap_err();
        assert!(matches!(
            error,
            Error::BothWays {
                kind: "storageClasses"
            }
        ));
    }

    #[test]
    fn a_missing_key_is_named() {
        let error = SyncConfig::from_yaml("cluster: test").unwrap_err();
        let Error::Parse(source) = error else {
            panic!("{error:?}")
        };
        assert!(source.to_string().contains("hostNamespace"), "{source}");
    }
}
