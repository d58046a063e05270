//! What a kind cluster may look like.

use std::{path::PathBuf, time::Duration};

use ipnet::IpNet;

use super::super::Error;

/// How to make a kind cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KindOptions {
    /// Its name, as `kind get clusters` shows it.
    pub name: String,
    /// The node image: an official `kindest/node`, or one of ours. It decides the Kubernetes version.
    pub image: String,
    /// How many workers beside the one control-plane node, which runs pods too.
    pub workers: usize,
    /// Patches of kubeadm's configuration as kind takes them: YAML documents with a `kind`, merged into
    /// the document of the same kind.
    pub kubeadm_patches: Vec<String>,
    /// Directories of this machine that every node sees.
    pub mounts: Vec<Mount>,
    /// Ports of the control-plane node that are published on 127.0.0.1.
    pub ports: Vec<Port>,
    /// Labels of the Kubernetes nodes.
    pub node_labels: Vec<(String, String)>,
    /// Feature gates of every component.
    pub feature_gates: Vec<(String, bool)>,
    /// The range of pod addresses; one of each family, with a comma between them, on a host of two.
    pub pod_subnet: String,
    /// The range of service addresses, or one of each family. Wider than kind's own, so that many virtual
    /// clusters find room.
    pub service_subnet: String,
    /// How long it may take until the nodes are ready.
    pub timeout: Duration,
    /// The lock file that is held while the cluster is made, if there is one: whoever holds it later
    /// knows that its maker is gone.
    pub lock: Option<PathBuf>,
    /// Keep what there is when it cannot be completed, to look at.
    pub retain: bool,
}

/// A directory or file of this machine that nodes see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// Where it is on this machine.
    pub source: PathBuf,
    /// Where nodes see it.
    pub target: String,
    /// May nodes write to it?
    pub read_only: bool,
}

/// A port of a node that is published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Port {
    /// The port on the node.
    pub node: u16,
    /// The port on 127.0.0.1; chosen by the engine when absent.
    pub host: Option<u16>,
}

impl Default for KindOptions {
    fn default() -> Self {
        Self {
            name: "vcluster-test".to_owned(),
            image: String::new(),
            workers: 0,
            kubeadm_patches: Vec::new(),
            mounts: Vec::new(),
            ports: Vec::new(),
            node_labels: Vec::new(),
            feature_gates: Vec::new(),
            pod_subnet: "10.244.0.0/16".to_owned(),
            service_subnet: "10.96.0.0/12".to_owned(),
            timeout: Duration::from_mins(3),
            lock: None,
            retain: false,
        }
    }
}

impl KindOptions {
    /// The same with addresses of two families, IPv4 first, in the ranges that kind takes for them.
    #[must_use]
    pub fn dual_stack(self) -> Self {
        let usual = Self::default();
        Self {
            pod_subnet: format!("{},fd00:10:244::/56", usual.pod_subnet),
            service_subnet: format!("{},fd00:10:96::/112", usual.service_subnet),
            ..self
        }
    }

    pub(super) fn is_dual_stack(&self) -> bool {
        self.service_subnet.contains(',')
    }

    /// The ranges of pod addresses, one of each family.
    pub(super) fn pod_subnets(&self) -> Result<Vec<IpNet>, Error> {
        let subnets = self.pod_subnet.split(',').map(str::parse);
        let subnets: Result<_, ipnet::AddrParseError> = subnets.collect();
        subnets.map_err(|error| Error::Option {
            option: "pod subnet",
            value: self.pod_subnet.clone(),
            reason: error.to_string(),
        })
    }

    /// The names of the containers, the control plane's first, as kind numbers them.
    pub(super) fn node_names(&self) -> Vec<String> {
        let mut names = vec![format!("{}-control-plane", self.name)];
        names.extend((1..=self.workers).map(|number| match number {
            1 => format!("{}-worker", self.name),
            _ => format!("{}-worker{number}", self.name),
        }));
        names
    }

    /// Refuses what the engine or kubeadm would refuse later and less clearly.
    pub(super) fn validate(&self) -> Result<(), Error> {
        // The host name `NAME-control-plane` has to fit into 64 bytes.
        const NAME_LIMIT: usize = 49;
        let valid_byte = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-');
        let starts_well = self
            .name
            .bytes()
            .next()
            .is_some_and(|byte| byte.is_ascii_alphanumeric());
        let refuse = |option, value: &str, reason: &str| {
            Err(Error::Option {
                option,
                value: value.to_owned(),
                reason: reason.to_owned(),
            })
        };
        if !starts_well || !self.name.bytes().all(valid_byte) {
            let reason =
                "use lower-case letters, digits, `.` and `-`, starting with a letter or digit";
            return refuse("name", &self.name, reason);
        }
        if self.name.len() > NAME_LIMIT {
            return refuse("name", &self.name, "it is longer than 49 characters");
        }
        if self.image.is_empty() {
            return refuse("image", &self.image, "it is empty");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn named(name: &str) -> KindOptions {
        KindOptions {
            name: name.to_owned(),
            image: "kindest/node:v1.34.2".to_owned(),
            ..KindOptions::default()
        }
    }

    #[test]
    fn nodes_are_numbered_as_kind_numbers_them() {
        let options = KindOptions {
            workers: 3,
            ..named("web")
        };
        assert_eq!(
            options.node_names(),
            [
                "web-control-plane",
                "web-worker",
                "web-worker2",
                "web-worker3"
            ]
        );
    }

    #[rstest]
    #[case::empty("")]
    #[case::a_dash_first("-web")]
    #[case::upper_case("Web")]
    #[case::a_space("my web")]
    #[case::too_long("a23456789a23456789a23456789a23456789a23456789a2345")]
    fn a_bad_name_is_refused(#[case] name: &str) {
        let error = named(name).validate().unwrap_err();
        assert!(error.to_string().contains(name), "{error}");
    }

    #[test]
    fn a_usual_name_is_fine() {
        named("vcluster-test-1-34").validate().unwrap();
    }
}
