//! The file that the harness writes for a syncer.

use std::{
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::{
    LeaderElection, Sync,
    error::{Error, explain},
};

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
    /// The image of this program, which also puts a pod's own names into its `/etc/hosts`; without one
    /// those stay as the host writes them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub syncer_image: Option<String>,
    /// How several syncers of the cluster agree on the one that works.
    #[serde(default)]
    pub leader_election: LeaderElection,
    /// What is synced, and how.
    #[serde(default)]
    pub sync: Sync,
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
            syncer_image: None,
            leader_election: LeaderElection::default(),
            sync: Sync::default(),
            cluster,
        }
    }

    /// The host Lease of the syncer that works.
    pub fn lease(&self) -> String {
        format!("{}-syncer", self.cluster)
    }

    /// Reads a configuration from YAML.
    pub fn from_yaml(text: &str) -> Result<Self, Error> {
        let config: Self = serde_yaml_ng::from_str(text).map_err(explain)?;
        config.leader_election.check()?;
        config.sync.check()?;
        Ok(Self {
            sync: config.sync.completed(),
            ..config
        })
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
    #[case::of_nodes(
        "sync: {fromHost: {nodes: {selector: {labls: {}}}}}",
        "labls",
        "labels"
    )]
    #[case::an_only_child("sync: {toHost: {secrets: {every: true}}}", "every", "all")]
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
    fn a_lease_leaves_time_to_renew_it() {
        let text = serde_yaml_ng::to_string(&config()).unwrap();
        let text = text.replace("leaseSeconds: 15", "leaseSeconds: 2");
        match SyncConfig::from_yaml(&text).unwrap_err() {
            Error::ShortLease { seconds, shortest } => assert_eq!((seconds, shortest), (2, 6)),
            other => panic!("{other:?}"),
        }
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
