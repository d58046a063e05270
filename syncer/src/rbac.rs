//! The rights on the host that a configuration needs, and no more.

use k8s_openapi::api::rbac::v1::PolicyRule;

use crate::config::{Switch, SyncConfig};

const ALL: &[&str] = &[
    "get", "list", "watch", "create", "update", "patch", "delete",
];
const READ: &[&str] = &["get", "list", "watch"];

const STORAGE: &str = "storage.k8s.io";
const SCHEDULING: &str = "scheduling.k8s.io";

/// The rules of the syncer's `Role` in its own host namespace.
#[must_use]
pub fn role_rules(config: &SyncConfig) -> Vec<PolicyRule> {
    let mut rules = vec![
        rule(
            "",
            &["pods", "services", "endpoints", "configmaps", "secrets"],
            ALL,
        ),
        rule(
            "",
            &["pods/status", "pods/ephemeralcontainers", "pods/resize"],
            &["get", "patch", "update"],
        ),
        // Websockets open these with GET, SPDY with POST.
        rule(
            "",
            &["pods/exec", "pods/attach", "pods/portforward"],
            &["get", "create"],
        ),
        rule("", &["pods/log"], &["get"]),
        rule("discovery.k8s.io", &["endpointslices"], ALL),
    ];
    let (to_host, from_host) = (&config.sync.to_host, &config.sync.from_host);
    let optional = [
        (
            to_host.persistent_volume_claims,
            "",
            "persistentvolumeclaims",
        ),
        (to_host.service_accounts, "", "serviceaccounts"),
        (to_host.ingresses, "networking.k8s.io", "ingresses"),
        (
            to_host.network_policies,
            "networking.k8s.io",
            "networkpolicies",
        ),
        (
            to_host.pod_disruption_budgets,
            "policy",
            "poddisruptionbudgets",
        ),
    ];
    rules.extend(switched_on(&optional, ALL));
    rules.extend(switched_on(&[(from_host.events, "", "events")], READ));
    if config.leader_election.enabled {
        rules.extend(lease_rules(config.lease()));
    }
    rules
}

/// Rights to one lease; only to make it cannot be limited to a name.
fn lease_rules(name: String) -> [PolicyRule; 2] {
    let leases = |verbs| rule("coordination.k8s.io", &["leases"], verbs);
    [
        leases(&["create"]),
        PolicyRule {
            resource_names: Some(vec![name]),
            ..leases(&["get", "update"])
        },
    ]
}

/// The rules of the syncer's `ClusterRole`.
#[must_use]
pub fn cluster_role_rules(config: &SyncConfig) -> Vec<PolicyRule> {
    let (to_host, from_host) = (&config.sync.to_host, &config.sync.from_host);
    let nodes = Switch {
        enabled: from_host.nodes.enabled,
    };
    let shown = [
        (nodes, "", "nodes"),
        (from_host.storage_classes, STORAGE, "storageclasses"),
        (from_host.priority_classes, SCHEDULING, "priorityclasses"),
        (
            from_host.ingress_classes,
            "networking.k8s.io",
            "ingressclasses",
        ),
        (from_host.runtime_classes, "node.k8s.io", "runtimeclasses"),
    ];
    let mut rules: Vec<_> = switched_on(&shown, READ).collect();
    let (scheduler, drivers) = (
        config.sync.virtual_scheduler,
        Switch {
            enabled: config.sync.shows_drivers(),
        },
    );
    let for_a_scheduler = [
        (scheduler, "", "pods"),
        (drivers, "", "persistentvolumes"),
        (drivers, STORAGE, "csidrivers"),
        (drivers, STORAGE, "csinodes"),
        (drivers, STORAGE, "csistoragecapacities"),
    ];
    rules.extend(switched_on(&for_a_scheduler, READ));
    let metrics = [(from_host.nodes.metrics, "", "nodes/proxy")];
    rules.extend(switched_on(&metrics, &["get"]));
    // Rights cannot be limited to names that begin alike, so these are never given unasked.
    let made = [
        (to_host.persistent_volumes, "", "persistentvolumes"),
        (to_host.storage_classes, STORAGE, "storageclasses"),
        (to_host.priority_classes, SCHEDULING, "priorityclasses"),
    ];
    rules.extend(switched_on(&made, ALL));
    rules
}

fn switched_on(
    resources: &[(Switch, &str, &str)],
    verbs: &'static [&str],
) -> impl Iterator<Item = PolicyRule> {
    resources
        .iter()
        .filter(|(switch, ..)| switch.enabled)
        .map(|(_, group, resource)| rule(group, &[resource], verbs))
}

fn rule(group: &str, resources: &[&str], verbs: &[&str]) -> PolicyRule {
    let owned = |items: &[&str]| {
        items
            .iter()
            .map(|&item| item.to_owned())
            .collect::<Vec<_>>()
    };
    PolicyRule {
        api_groups: Some(vec![group.to_owned()]),
        resources: Some(owned(resources)),
        verbs: owned(verbs),
        ..PolicyRule::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tests::config;

    fn allows(rules: &[PolicyRule], resource: &str, verb: &str) -> bool {
        rules.iter().any(|rule| {
            rule.resources.iter().flatten().any(|r| r == resource)
                && rule.verbs.iter().any(|v| v == verb)
        })
    }

    #[test]
    fn nothing_is_written_outside_the_namespace_unless_asked() {
        let rules = cluster_role_rules(&config());
        assert!(rules.iter().all(|rule| rule.verbs == READ));
    }

    #[test]
    fn no_rule_is_for_everything() {
        for rule in role_rules(&config())
            .iter()
            .chain(&cluster_role_rules(&config()))
        {
            assert!(!rule.verbs.iter().any(|verb| verb == "*"));
            assert!(
                !rule
                    .resources
                    .iter()
                    .flatten()
                    .any(|resource| resource == "*")
            );
        }
    }

    #[test]
    fn the_lease_of_several_syncers_is_the_only_one_that_they_may_change() {
        let mut config = config();
        let leases = |config: &SyncConfig| -> Vec<_> {
            let is_lease = |rule: &PolicyRule| rule.resources == Some(vec!["leases".to_owned()]);
            let rules = role_rules(config).into_iter().filter(is_lease);
            rules
                .map(|rule| (rule.verbs.join(" "), rule.resource_names))
                .collect()
        };
        assert_eq!(leases(&config), []);
        config.leader_election.enabled = true;
        let expected = [
            ("create".to_owned(), None),
            ("get update".to_owned(), Some(vec![config.lease()])),
        ];
        assert_eq!(leases(&config), expected);
    }

    #[test]
    fn what_is_switched_off_is_not_asked_for() {
        let mut config = config();
        assert!(allows(&role_rules(&config), "events", "watch"));
        config.sync.from_host.events.enabled = false;
        assert!(!allows(&role_rules(&config), "events", "watch"));
        assert!(allows(&cluster_role_rules(&config), "nodes", "watch"));
        config.sync.from_host.nodes.enabled = false;
        assert!(!allows(&cluster_role_rules(&config), "nodes", "watch"));
        assert!(!allows(&cluster_role_rules(&config), "nodes/proxy", "get"));
        config.sync.from_host.nodes.metrics.enabled = true;
        assert!(allows(&cluster_role_rules(&config), "nodes/proxy", "get"));
        assert!(!allows(
            &cluster_role_rules(&config),
            "nodes/proxy",
            "create"
        ));
        assert!(!allows(&cluster_role_rules(&config), "pods", "list"));
        config.sync.virtual_scheduler.enabled = true;
        for resource in ["pods", "persistentvolumes", "csinodes"] {
            assert!(allows(&cluster_role_rules(&config), resource, "list"));
            assert!(!allows(&cluster_role_rules(&config), resource, "patch"));
        }
        assert!(!allows(&role_rules(&config), "ingresses", "list"));
        config.sync.to_host.ingresses.enabled = true;
        assert!(allows(&role_rules(&config), "ingresses", "create"));
        assert!(!allows(
            &cluster_role_rules(&config),
            "storageclasses",
            "list"
        ));
        config.sync.from_host.storage_classes.enabled = true;
        assert!(allows(
            &cluster_role_rules(&config),
            "storageclasses",
            "list"
        ));
        assert!(!allows(
            &cluster_role_rules(&config),
            "storageclasses",
            "create"
        ));
    }
}
