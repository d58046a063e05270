//! Where a pod asks for names: the virtual cluster's DNS server, under the same address on the host.

use k8s_openapi::api::core::v1::{PodDNSConfig, PodDNSConfigOption, PodSpec};

use crate::resource::ClusterFacts;

/// Points the host pod at the DNS server of the virtual cluster, if the tenant's policy says so.
pub(super) fn to_host(spec: &mut PodSpec, namespace: &str, facts: &ClusterFacts) {
    let uses_cluster_dns = match spec.dns_policy.as_deref() {
        Some("None" | "Default") => false,
        Some("ClusterFirstWithHostNet") => true,
        // ClusterFirst acts as Default in the host's network.
        _ => spec.host_network != Some(true),
    };
    if !uses_cluster_dns {
        return;
    }
    let Some(dns) = facts.dns else {
        // The host's DNS knows other services under the same names.
        spec.dns_policy = Some("Default".to_owned());
        return;
    };
    let user = spec.dns_config.take().unwrap_or_default();
    let domain = &facts.domain;
    let mut nameservers = vec![dns.to_string()];
    nameservers.extend(user.nameservers.into_iter().flatten());
    let mut searches = vec![
        format!("{namespace}.svc.{domain}"),
        format!("svc.{domain}"),
        domain.clone(),
    ];
    searches.extend(user.searches.into_iter().flatten());
    let mut options = user.options.unwrap_or_default();
    if !options
        .iter()
        .any(|option| option.name.as_deref() == Some("ndots"))
    {
        options.insert(
            0,
            PodDNSConfigOption {
                name: Some("ndots".to_owned()),
                value: Some("5".to_owned()),
            },
        );
    }
    spec.dns_policy = Some("None".to_owned());
    spec.dns_config = Some(PodDNSConfig {
        nameservers: Some(each_once(nameservers)),
        searches: Some(each_once(searches)),
        options: Some(options),
    });
}

fn each_once(list: Vec<String>) -> Vec<String> {
    let mut seen = Vec::with_capacity(list.len());
    for item in list {
        if !seen.contains(&item) {
            seen.push(item);
        }
    }
    seen
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::resource::tests::translation;

    fn translated(
        policy: Option<&str>,
        host_network: bool,
        config: Option<PodDNSConfig>,
    ) -> PodSpec {
        let mut spec = PodSpec {
            dns_policy: policy.map(str::to_owned),
            host_network: Some(host_network),
            dns_config: config,
            ..PodSpec::default()
        };
        to_host(&mut spec, "default", &translation().facts);
        spec
    }

    #[rstest]
    #[case::the_clusters(Some("ClusterFirst"), false, "None")]
    #[case::unsaid(None, false, "None")]
    #[case::in_the_hosts_network(Some("ClusterFirst"), true, "ClusterFirst")]
    #[case::the_clusters_all_the_same(Some("ClusterFirstWithHostNet"), true, "None")]
    #[case::the_nodes(Some("Default"), false, "Default")]
    #[case::the_tenants_own(Some("None"), false, "None")]
    fn policies(#[case] policy: Option<&str>, #[case] host_network: bool, #[case] expected: &str) {
        assert_eq!(
            translated(policy, host_network, None).dns_policy.as_deref(),
            Some(expected)
        );
    }

    #[test]
    fn names_are_looked_up_in_the_virtual_namespace_first() {
        let config = translated(None, false, None).dns_config.unwrap();
        assert_eq!(config.nameservers, Some(vec!["10.96.17.10".to_owned()]));
        let searches = [
            "default.svc.cluster.local",
            "svc.cluster.local",
            "cluster.local",
        ];
        assert_eq!(config.searches, Some(searches.map(str::to_owned).to_vec()));
    }

    #[test]
    fn what_the_tenant_adds_is_kept() {
        let option = |name: &str, value: &str| PodDNSConfigOption {
            name: Some(name.to_owned()),
            value: Some(value.to_owned()),
        };
        let config = PodDNSConfig {
            nameservers: Some(vec!["192.0.2.1".to_owned()]),
            searches: Some(vec!["cluster.local".to_owned(), "example.com".to_owned()]),
            options: Some(vec![option("ndots", "2")]),
        };
        let config = translated(None, false, Some(config)).dns_config.unwrap();
        assert_eq!(config.nameservers.unwrap()[1], "192.0.2.1");
        assert_eq!(
            config.searches.unwrap()[2..],
            ["cluster.local", "example.com"]
        );
        assert_eq!(config.options, Some(vec![option("ndots", "2")]));
    }

    #[test]
    fn without_dns_of_its_own_a_cluster_does_not_ask_the_hosts() {
        let mut facts = (*translation().facts).clone();
        facts.dns = None;
        let mut spec = PodSpec::default();
        to_host(&mut spec, "default", &facts);
        assert_eq!(spec.dns_policy.as_deref(), Some("Default"));
    }
}
