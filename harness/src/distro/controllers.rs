//! What every controller manager of a virtual cluster is told, whichever distro starts it.

use std::collections::BTreeMap;

use super::{Replicas, Scheduling};
use crate::version::KubernetesVersion;

/// Controllers that would do the host's work: the host has the nodes, their addresses, their disks,
/// and the last word on evictions.
const OF_THE_HOST: &[&str] = &[
    "cloud-node-lifecycle-controller",
    "node-ipam-controller",
    "node-lifecycle-controller",
    "persistentvolume-attach-detach-controller",
    "persistentvolume-binder-controller",
    "persistentvolume-expander-controller",
    TAINT_EVICTION,
    "ttl-controller",
];

/// Evicts pods from nodes by their taints, which are the host's unless a scheduler of the tenant's
/// heeds them.
const TAINT_EVICTION: &str = "taint-eviction-controller";

/// Controllers of the same kind that came later: the minor version that brought them, and the name.
/// An older program refuses to start when it is told to leave out what it does not know.
const LATER_OF_THE_HOST: &[(u32, &str)] = &[(33, "device-taint-eviction-controller")];

/// The setting that says which controllers run. They differ between versions.
pub(super) const SETTING: &str = "controllers";

/// Its value on a command line, from a variable that the container reads whenever it starts.
pub(super) const VALUE: &str = "$(CONTROLLERS)";

const VARIABLE: &str = "CONTROLLERS";

/// The file of the control plane with [`selection`].
pub(super) const FILE: &str = "controllers";

/// What gives [`VALUE`] its meaning.
pub(super) fn environment() -> BTreeMap<&'static str, &'static str> {
    [(VARIABLE, FILE)].into()
}

/// The other settings, by their names, without dashes: the same in every version.
pub(super) fn settings(
    replicas: Replicas<'_>,
) -> impl Iterator<Item = (&'static str, &'static str)> {
    [
        // Without accounts of their own, controllers start four seconds earlier, and need one
        // client that may do what all of them do.
        ("use-service-account-credentials", "false"),
        ("kubeconfig", "/pki/controller-manager.conf"),
        ("allocate-node-cidrs", "false"),
    ]
    .into_iter()
    .chain(election(replicas))
    // Nobody else is on this API server; the usual 20 requests a second are felt in tests.
    .chain([("kube-api-qps", "200"), ("kube-api-burst", "400")])
}

/// One alone need not be elected. Of several another one goes on seconds after the elected one was lost.
fn election(replicas: Replicas<'_>) -> impl Iterator<Item = (&'static str, &'static str)> {
    const ALONE: &[(&str, &str)] = &[("leader-elect", "false")];
    const ELECTED: &[(&str, &str)] = &[
        ("leader-elect", "true"),
        ("leader-elect-lease-duration", "10s"),
        ("leader-elect-renew-deadline", "7s"),
        ("leader-elect-retry-period", "2s"),
    ];
    let settings = if replicas.are_several() {
        ELECTED
    } else {
        ALONE
    };
    settings.iter().copied()
}

/// Which controllers run: all, less those that the host has.
pub(super) fn selection(version: KubernetesVersion, scheduling: Scheduling) -> String {
    let later = LATER_OF_THE_HOST
        .iter()
        .filter(|(since, _)| *since <= version.minor)
        .map(|(_, name)| name);
    let is_the_hosts = |name: &&&str| **name != TAINT_EVICTION || scheduling == Scheduling::Host;
    let left_out: Vec<_> = OF_THE_HOST
        .iter()
        .filter(is_the_hosts)
        .chain(later)
        .map(|name| format!("-{name}"))
        .collect();
    format!("*,{}", left_out.join(","))
}
