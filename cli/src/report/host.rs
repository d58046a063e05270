//! Hosts, as listed, started and deleted.

use std::io;

use serde::Serialize;

use crate::output::{Report, Styled};

/// A kind cluster on this machine's engine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Host {
    /// Its name, as `kind get clusters` shows it.
    pub(crate) name: String,
    /// Are all its containers running?
    pub(crate) running: bool,
    /// Was it made by this project, rather than by the `kind` program?
    pub(crate) ours: bool,
    /// Its node containers.
    pub(crate) nodes: Vec<String>,
}

/// `host list`.
#[derive(Debug, Serialize)]
pub(crate) struct HostList {
    pub(crate) hosts: Vec<Host>,
}

/// `host up`.
#[derive(Debug, Serialize)]
pub(crate) struct HostUp {
    pub(crate) name: String,
    /// The server's own words, such as `v1.34.2`.
    pub(crate) version: String,
    pub(crate) node_addresses: Vec<String>,
    pub(crate) seconds: f64,
}

/// `host down`.
#[derive(Debug, Serialize)]
pub(crate) struct HostDown {
    pub(crate) name: String,
    pub(crate) seconds: f64,
}

impl Report for HostList {
    fn write_human(&self, out: &mut Styled<'_>) -> io::Result<()> {
        let rows: Vec<[String; 4]> = self
            .hosts
            .iter()
            .map(|host| {
                [
                    host.name.clone(),
                    if host.running { "running" } else { "stopped" }.to_owned(),
                    if host.ours { "us" } else { "kind" }.to_owned(),
                    host.nodes.join(" "),
                ]
            })
            .collect();
        out.table(
            ["HOST", "STATE", "MADE BY", "NODES"],
            &rows,
            "no hosts; `cargo vcluster host up` starts one",
        )
    }
}

impl Report for HostUp {
    fn write_human(&self, out: &mut Styled<'_>) -> io::Result<()> {
        out.line(&format!(
            "host {} runs Kubernetes {} ({:.1} s)",
            self.name, self.version, self.seconds
        ))
    }
}

impl Report for HostDown {
    fn write_human(&self, out: &mut Styled<'_>) -> io::Result<()> {
        out.line(&format!(
            "host {} is deleted ({:.1} s)",
            self.name, self.seconds
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::tests::both;

    #[test]
    fn hosts_are_listed() {
        let hosts = vec![
            Host {
                name: "vcluster-test".to_owned(),
                running: true,
                ours: true,
                nodes: vec!["vcluster-test-control-plane".to_owned()],
            },
            Host {
                name: "kind".to_owned(),
                running: false,
                ours: false,
                nodes: vec!["kind-control-plane".to_owned(), "kind-worker".to_owned()],
            },
        ];
        insta::assert_snapshot!(both(&HostList { hosts }));
    }

    #[test]
    fn no_hosts_says_how_to_start_one() {
        insta::assert_snapshot!(both(&HostList { hosts: Vec::new() }));
    }

    #[test]
    fn a_started_host_is_shown() {
        insta::assert_snapshot!(both(&HostUp {
            name: "vcluster-test".to_owned(),
            version: "v1.34.2".to_owned(),
            node_addresses: vec!["172.18.0.2".to_owned()],
            seconds: 10.5,
        }));
    }
}
