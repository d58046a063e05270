//! What every controller manager of a virtual cluster is told, whichever distro starts it.

use super::Scheduling;
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

/// The settings by their names, without dashes.
pub(super) fn settings(
    version: KubernetesVersion,
    scheduling: Scheduling,
) -> Vec<(&'static str, String)> {
    let mut settings = vec![("controllers", controllers(version, scheduling))];
    settings.extend(
        [
            // Without accounts of their own, controllers start four seconds earlier, and need one
            // client that may do what all of them do.
            ("use-service-account-credentials", "false"),
            ("kubeconfig", "/pki/controller-manager.conf"),
            ("allocate-node-cidrs", "false"),
            ("leader-elect", "false"),
            // Nobody else is on this API server; the usual 20 requests a second are felt in tests.
            ("kube-api-qps", "200"),
            ("kube-api-burst", "400"),
        ]
        .map(|(name, value)| (name, value.to_owned())),
    );
    settings
}

fn controllers(version: KubernetesVersion, scheduling: Scheduling) -> String {
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
