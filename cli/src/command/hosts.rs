//! The hosts that are up. Nothing is started here: a command that asks must not take a minute.

use kube::Client;
use vcluster_harness::{
    asset::Assets,
    cluster::{self, ClusterRecord},
    engine::Engine,
    host::{self, HostCluster, kind},
    settings::HostChoice,
};

use super::run::Context;
use crate::exit::{Exit, Failure};

/// Hosts that are up, and the names of those that are not.
#[derive(Debug)]
pub(super) struct Hosts {
    pub(super) up: Vec<HostCluster>,
    pub(super) down: Vec<String>,
}

/// A cluster, and the host that has it.
pub(super) struct Found {
    pub(super) host: HostCluster,
    pub(super) client: Client,
    pub(super) record: ClusterRecord,
}

impl Hosts {
    /// Those that the settings choose: one by name, or all of ours on this machine.
    pub(super) async fn find(cx: &Context) -> Result<Self, Failure> {
        if let HostChoice::Kubeconfig { .. } = cx.settings.host {
            let assets = Assets::new(&cx.settings, cx.progress.clone());
            let host = host::shared(&cx.settings, &assets, &cx.progress).await?;
            return Ok(Self {
                up: vec![host],
                down: Vec::new(),
            });
        }
        let engine = Engine::connect().await?;
        let mut hosts = Self {
            up: Vec::new(),
            down: Vec::new(),
        };
        for cluster in kind::list(&engine).await? {
            let is_chosen = match &cx.settings.host {
                HostChoice::Kind(name) => *name == cluster.name,
                _ => cluster.is_ours,
            };
            if !is_chosen {
                continue;
            }
            if !cluster.is_running() {
                hosts.down.push(cluster.name);
                continue;
            }
            match kind::connect(&engine, &cluster).await {
                Ok(host) => hosts.up.push(host),
                // Somebody is making it, or was killed doing so: it has no clusters yet.
                Err(host::Error::HalfMade { .. }) => hosts.down.push(cluster.name),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(hosts)
    }

    /// All clusters of all hosts.
    pub(super) async fn clusters(&self) -> Result<Vec<Found>, Failure> {
        let mut all = Vec::new();
        for host in &self.up {
            let client = host.client().await?;
            let records = cluster::list(&client)
                .await
                .map_err(|error| Failure::new(Exit::Host, error))?;
            all.extend(records.into_iter().map(|record| Found {
                host: host.clone(),
                client: client.clone(),
                record,
            }));
        }
        Ok(all)
    }

    /// The cluster of this name.
    pub(super) async fn cluster(&self, name: &str) -> Result<Found, Failure> {
        let mut clusters = self.clusters().await?;
        let known: Vec<String> = clusters
            .iter()
            .map(|found| found.record.name.clone())
            .collect();
        clusters.retain(|found| found.record.name == name);
        match (clusters.pop(), clusters.is_empty()) {
            (Some(found), true) => Ok(found),
            (Some(_), false) => Err(Failure::usage(&format!(
                "several hosts have a cluster {name}; choose one with VCLUSTER_TEST_HOST=kind:NAME"
            ))),
            (None, _) => Err(Failure::nothing_selected(&missing(
                name, &known, &self.down,
            ))),
        }
    }
}

/// A sentence for who looks for a cluster that is not there.
fn missing(name: &str, known: &[String], down: &[String]) -> String {
    let mut text = format!("there is no virtual cluster {name}");
    if !known.is_empty() {
        text = format!("{text}; there are {}", known.join(", "));
    }
    if !down.is_empty() {
        text = format!(
            "{text}; host {} is stopped (`cargo vcluster host up` starts it)",
            down.join(", ")
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_looks_in_vain_is_told_what_there_is() {
        let known = ["web".to_owned()];
        assert_eq!(missing("wbe", &[], &[]), "there is no virtual cluster wbe");
        assert_eq!(
            missing("wbe", &known, &[]),
            "there is no virtual cluster wbe; there are web"
        );
        assert!(
            missing("wbe", &[], &["vcluster-test-1-34".to_owned()])
                .contains("host vcluster-test-1-34 is stopped")
        );
    }
}
