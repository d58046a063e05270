//! What a key holds, and so how it is put back.

/// How a key is treated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Rule {
    /// It gets the saved value, byte by byte.
    Exact,
    /// It gets the saved value, but its status is its controller's.
    Settled,
    /// It is another object afterwards: tokens of the one before are worth nothing then.
    Renewed,
    /// Somebody makes it of other objects. It is not written; what is wrong with it goes, and is made
    /// again.
    Made(Product),
    /// It is kept if it was there, whatever its value, since somebody renews it all the time.
    Kept,
    /// It never stays.
    Transient,
    /// It is the API servers' own.
    Aside,
}

/// What is made of other objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Product {
    /// A pod.
    Pod,
    /// Who is behind a service.
    Endpoints,
    /// What the syncer shows of the host's nodes.
    Node,
}

/// Of every key's object, the part before its namespace and name.
const RULES: &[(&str, Rule)] = &[
    ("masterleases/", Rule::Aside),
    ("leases/kube-system/apiserver-", Rule::Aside),
    ("leases/", Rule::Kept),
    ("events/", Rule::Transient),
    ("serviceaccounts/", Rule::Renewed),
    ("minions/", Rule::Made(Product::Node)),
    ("csistoragecapacities/", Rule::Made(Product::Node)),
    ("pods/", Rule::Made(Product::Pod)),
    ("services/endpoints/", Rule::Made(Product::Endpoints)),
    ("endpointslices/", Rule::Made(Product::Endpoints)),
    ("controllers/", Rule::Settled),
    ("controllerrevisions/", Rule::Settled),
    ("cronjobs/", Rule::Settled),
    ("daemonsets/", Rule::Settled),
    ("deployments/", Rule::Settled),
    ("horizontalpodautoscalers/", Rule::Settled),
    ("jobs/", Rule::Settled),
    ("persistentvolumeclaims/", Rule::Settled),
    ("poddisruptionbudgets/", Rule::Settled),
    ("replicasets/", Rule::Settled),
    ("resourcequotas/", Rule::Settled),
    ("statefulsets/", Rule::Settled),
];

/// Owners before what they own, so that nobody makes again what has just been deleted. Before all:
/// who refuses writes, and who may write.
const ORDER: &[&[&str]] = &[
    &[
        "validatingwebhookconfigurations/",
        "mutatingwebhookconfigurations/",
        "validatingadmissionpolic",
        "mutatingadmissionpolic",
        "clusterrolebindings/",
        "rolebindings/",
        "serviceaccounts/",
    ],
    &[
        "apiextensions.k8s.io/customresourcedefinitions/",
        "apiregistration.k8s.io/apiservices/",
    ],
    &["namespaces/"],
    &[
        "controllers/",
        "cronjobs/",
        "daemonsets/",
        "deployments/",
        "horizontalpodautoscalers/",
        "services/specs/",
        "statefulsets/",
    ],
    &["replicasets/", "jobs/", "controllerrevisions/"],
    // Here is the rest.
    &[],
    &["pods/"],
    &["services/endpoints/", "endpointslices/"],
    &["minions/", "ipaddresses/", "ranges/"],
    &["leases/", "events/"],
];
const REST: usize = 5;

/// How the object at `key` is treated.
pub(super) fn rule(key: &str) -> Rule {
    let resource = resource(key);
    RULES
        .iter()
        .find(|(prefix, _)| resource.starts_with(prefix))
        .map_or(Rule::Exact, |(_, rule)| *rule)
}

/// When the object at `key` has its turn; equals have it at the same time.
pub(super) fn rank(key: &str) -> usize {
    let resource = resource(key);
    ORDER
        .iter()
        .position(|prefixes| prefixes.iter().any(|prefix| resource.starts_with(prefix)))
        .unwrap_or(REST)
}

fn resource(key: &str) -> &str {
    key.strip_prefix("/registry/").unwrap_or(key)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("configmaps/default/web", Rule::Exact)]
    #[case("pods/default/web", Rule::Made(Product::Pod))]
    #[case::another_group_has_its_name_before("example.org/pods/default/web", Rule::Exact)]
    #[case("services/specs/default/web", Rule::Exact)]
    #[case("services/endpoints/default/web", Rule::Made(Product::Endpoints))]
    #[case("leases/kube-system/apiserver-4w2", Rule::Aside)]
    #[case("leases/default/apiserver-4w2", Rule::Kept)]
    #[case("poddisruptionbudgets/default/web", Rule::Settled)]
    fn a_rule_follows_from_the_key(#[case] key: &str, #[case] expected: Rule) {
        assert_eq!(rule(&format!("/registry/{key}")), expected);
    }

    #[rstest]
    #[case("validatingwebhookconfigurations/a", "namespaces/a")]
    #[case("validatingadmissionpolicybindings/a", "namespaces/a")]
    #[case("serviceaccounts/a/b", "deployments/a/b")]
    #[case(
        "apiextensions.k8s.io/customresourcedefinitions/a",
        "example.org/as/a/b"
    )]
    #[case("deployments/a/b", "replicasets/a/b")]
    #[case("replicasets/a/b", "pods/a/b")]
    #[case("services/specs/a/b", "services/endpoints/a/b")]
    #[case("services/specs/a/b", "ipaddresses/10.0.0.1")]
    #[case("pods/a/b", "events/a/b")]
    fn owners_go_before_what_they_own(#[case] first: &str, #[case] then: &str) {
        let rank = |key: &str| rank(&format!("/registry/{key}"));
        assert!(rank(first) < rank(then));
    }
}
