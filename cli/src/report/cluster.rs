//! Virtual clusters, as listed and created.

use std::io;

use serde::Serialize;

use crate::output::{Report, Styled};

/// A virtual cluster as its host knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Cluster {
    pub(crate) name: String,
    /// Its namespace on the host.
    pub(crate) namespace: String,
    /// The host that carries it.
    pub(crate) host: String,
    pub(crate) distro: Option<String>,
    pub(crate) version: Option<String>,
    /// Is it going away?
    pub(crate) deleting: bool,
    /// The test that made it; absent for one that was created by hand.
    pub(crate) test: Option<String>,
    /// RFC 3339.
    pub(crate) created_at: Option<String>,
    /// RFC 3339; absent for one that lives until it is deleted.
    pub(crate) expires_at: Option<String>,
}

/// `list`.
#[derive(Debug, Serialize)]
pub(crate) struct ClusterList {
    pub(crate) clusters: Vec<Cluster>,
}

/// `create`.
#[derive(Debug, Serialize)]
pub(crate) struct Created {
    pub(crate) name: String,
    pub(crate) namespace: String,
    pub(crate) distro: String,
    pub(crate) version: Option<String>,
    pub(crate) seconds: f64,
}

impl Report for ClusterList {
    fn write_human(&self, out: &mut Styled<'_>) -> io::Result<()> {
        let rows: Vec<[String; 6]> = self
            .clusters
            .iter()
            .map(|cluster| {
                let end = if cluster.deleting {
                    "being deleted".to_owned()
                } else {
                    cluster
                        .expires_at
                        .clone()
                        .unwrap_or_else(|| "never".to_owned())
                };
                [
                    cluster.name.clone(),
                    cluster.distro.clone().unwrap_or_default(),
                    cluster.version.clone().unwrap_or_default(),
                    cluster.host.clone(),
                    end,
                    cluster.test.clone().unwrap_or_default(),
                ]
            })
            .collect();
        out.table(
            ["CLUSTER", "DISTRO", "VERSION", "HOST", "ENDS", "TEST"],
            &rows,
            "no virtual clusters; `cargo vcluster create NAME` makes one",
        )
    }
}

impl Report for Created {
    fn write_human(&self, out: &mut Styled<'_>) -> io::Result<()> {
        out.line(&format!(
            "virtual cluster {} ({} {}) is ready ({:.1} s)",
            self.name,
            self.distro,
            self.version.as_deref().unwrap_or_default(),
            self.seconds
        ))?;
        out.line(&format!(
            "use it:    cargo vcluster kubeconfig {0} > {0}.kubeconfig && kubectl --kubeconfig {0}.kubeconfig get nodes",
            self.name
        ))?;
        out.line(&format!("delete it: cargo vcluster delete {}", self.name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::tests::both;

    #[test]
    fn clusters_of_people_and_of_tests_are_listed() {
        let by_hand = Cluster {
            name: "web".to_owned(),
            namespace: "vc-web".to_owned(),
            host: "vcluster-test-1-34".to_owned(),
            distro: Some("k8s".to_owned()),
            version: Some("1.34.2".to_owned()),
            deleting: false,
            test: None,
            created_at: Some("2026-01-02T03:04:05Z".to_owned()),
            expires_at: None,
        };
        let of_a_test = Cluster {
            name: "vc-7f3a21c4".to_owned(),
            namespace: "vc-7f3a21c4".to_owned(),
            deleting: true,
            test: Some("e2e::pods::a_pod_runs".to_owned()),
            expires_at: Some("2026-01-02T04:04:05Z".to_owned()),
            ..by_hand.clone()
        };
        insta::assert_snapshot!(both(&ClusterList {
            clusters: vec![by_hand, of_a_test],
        }));
    }

    #[test]
    fn a_new_cluster_says_how_to_use_and_delete_it() {
        insta::assert_snapshot!(both(&Created {
            name: "web".to_owned(),
            namespace: "vc-web".to_owned(),
            distro: "k8s".to_owned(),
            version: Some("1.34.2".to_owned()),
            seconds: 4.5,
        }));
    }
}
