//! The rights on the host that a configuration needs, and no more.

use k8s_openapi::api::rbac::v1::PolicyRule;

use crate::config::SyncConfig;

const ALL: &[&str] = &[
    "get", "list", "watch", "create", "update", "patch", "delete",
];
const READ: &[&str] = &["get", "list", "watch"];

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
    if config.sync.from_host.events.enabled {
        rules.push(rule("", &["events"], READ));
    }
    rules
}

/// The rules of the syncer's `ClusterRole`.
#[must_use]
pub fn cluster_role_rules(_: &SyncConfig) -> Vec<PolicyRule> {
    vec![rule("", &["nodes"], READ)]
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
    fn nothing_is_written_outside_the_namespace() {
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
    fn what_is_switched_off_is_not_asked_for() {
        let mut config = config();
        assert!(allows(&role_rules(&config), "events", "watch"));
        config.sync.from_host.events.enabled = false;
        assert!(!allows(&role_rules(&config), "events", "watch"));
    }
}
