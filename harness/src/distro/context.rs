//! What a distro may know of the cluster that it describes.

use ipnet::IpNet;

use crate::datastore::Datastore;

/// Facts of one cluster, as a distro needs them.
#[derive(Debug, Clone, Copy)]
pub struct ControlPlaneContext<'a> {
    /// The addresses its API server hands out to services.
    pub service_range: IpNet,
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
