//! What a distro may know of the cluster that it describes.

use crate::{datastore::Datastore, slice::ServiceRanges};

/// Facts of one cluster, as a distro needs them.
#[derive(Debug, Clone, Copy)]
pub struct ControlPlaneContext<'a> {
    /// The addresses its API server hands out to services.
    pub service_ranges: ServiceRanges,
    /// The DNS domain inside it.
    pub domain: &'a str,
    /// The names and addresses under which its API server answers, for distros that make their own
    /// certificates.
    pub names: &'a [String],
    /// Who binds pods to nodes.
    pub scheduling: Scheduling,
    /// Where it keeps its objects: one of [`Distro::stores`](super::Distro::stores), or the distro's own
    /// choice.
    pub store: Option<&'a Datastore>,
    /// The pods that it is made of.
    pub replicas: Replicas<'a>,
}

#[cfg(test)]
impl<'a> ControlPlaneContext<'a> {
    /// An ordinary cluster of these pods.
    pub(crate) fn of(replicas: Replicas<'a>) -> Self {
        Self {
            service_ranges: "10.96.17.0/24".parse::<ipnet::IpNet>().unwrap().into(),
            domain: "cluster.local",
            names: &[],
            scheduling: Scheduling::Host,
            store: None,
            replicas,
        }
    }
}

/// The pods of a control plane, which are called after their stateful set.
#[derive(Debug, Clone, Copy)]
pub struct Replicas<'a> {
    /// The stateful set.
    pub set: &'a str,
    /// Its namespace on the host.
    pub namespace: &'a str,
    /// How many there are.
    pub count: u8,
}

impl Replicas<'_> {
    /// Is there more than one?
    pub fn are_several(self) -> bool {
        self.count > 1
    }

    /// Their names.
    pub fn names(self) -> impl Iterator<Item = String> {
        let set = self.set.to_owned();
        (0..self.count).map(move |index| format!("{set}-{index}"))
    }

    /// Where the others find the pod called `name`: its own Service has that name.
    pub fn host(self, name: &str) -> String {
        format!("{name}.{}.svc", self.namespace)
    }
}

/// Who binds pods to nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Scheduling {
    /// The host; the virtual pod then shows the host's decision.
    #[default]
    Host,
    /// A scheduler in the virtual cluster, for tests of scheduling itself.
    Virtual,
}
