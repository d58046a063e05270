//! Which addresses a tenant may put behind a service that others than its pods come through. Node ports,
//! load balancers and ingress controllers send traffic of their own, which network policies let into
//! pods that the tenant's are kept from.

use std::{collections::BTreeSet, net::IpAddr};

use k8s_openapi::api::core::v1::{Pod, Service};

use crate::{
    caches::Caches,
    metadata,
    resource::{Surroundings, Translation},
};

/// May the tenant have any address behind the service in `cx`?
pub(crate) fn is_free(cx: &Translation) -> bool {
    let to_host = &cx.facts.sync.to_host;
    let is_open = |service: &Service| {
        let spec = service.spec.as_ref();
        let type_ = spec.and_then(|spec| spec.type_.as_deref());
        // An ingress may come later, and it may be for any service.
        to_host.ingresses.enabled
            || matches!(type_, Some("NodePort" | "LoadBalancer"))
            || spec.is_some_and(|spec| spec.external_ips.is_some())
    };
    to_host.services.foreign_endpoints.enabled
        || !cx.around.services.iter().any(|service| is_open(service))
}

/// Is it the address of one of the tenant's pods?
pub(crate) fn is_own(address: &str, around: &Surroundings) -> bool {
    let address = address.parse::<IpAddr>();
    address.is_ok_and(|address| around.own_addresses.contains(&address))
}

/// What the tenant is told of `count` addresses that are not its own.
pub(crate) fn told(count: usize) -> Option<String> {
    (count > 0).then(|| {
        format!(
            "{count} addresses that are not of this cluster's pods are not synced to the host, since \
             the service is open to the outside; toHost.services.foreignEndpoints allows it"
        )
    })
}

/// The addresses that the host gave a pod of its own network; none once the pod is over, when they may
/// be somebody else's.
pub(crate) fn addresses(pod: &Pod) -> Vec<IpAddr> {
    let has_own = pod
        .spec
        .as_ref()
        .is_none_or(|spec| spec.host_network != Some(true));
    let Some(status) = pod.status.as_ref().filter(|_| has_own) else {
        return Vec::new();
    };
    if matches!(status.phase.as_deref(), Some("Succeeded" | "Failed")) {
        return Vec::new();
    }
    let all = status.pod_ips.iter().flatten().map(|it| it.ip.as_str());
    let first = status.pod_ip.iter().map(String::as_str);
    let mut found: Vec<_> = all
        .chain(first)
        .filter_map(|address| address.parse().ok())
        .collect();
    found.sort_unstable();
    found.dedup();
    found
}

/// Those of `addresses` that are the tenant's pods'.
pub(crate) fn own_among<'a>(
    addresses: impl Iterator<Item = &'a String>,
    caches: &Caches,
) -> BTreeSet<IpAddr> {
    let asked: BTreeSet<IpAddr> = addresses.filter_map(|it| it.parse().ok()).collect();
    if asked.is_empty() {
        return asked;
    }
    let is_asked = |pod: &Pod| self::addresses(pod).iter().any(|it| asked.contains(it));
    let pods = caches.pods.on_host.filter(is_asked);
    let ours = pods
        .iter()
        .filter(|pod| metadata::identity(pod.as_ref(), &caches.names).is_some());
    let own: BTreeSet<_> = ours.flat_map(|pod| self::addresses(pod)).collect();
    asked.intersection(&own).copied().collect()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::{Value, json};

    use super::*;

    #[rstest]
    #[case::one(json!({"status": {"podIP": "10.244.0.7"}}), &["10.244.0.7"])]
    #[case::of_both_families(
        json!({"status": {"podIP": "10.244.0.7", "podIPs": [{"ip": "10.244.0.7"}, {"ip": "fd00::7"}]}}),
        &["10.244.0.7", "fd00::7"]
    )]
    #[case::of_its_node(
        json!({"spec": {"containers": [], "hostNetwork": true}, "status": {"podIP": "172.18.0.2"}}),
        &[]
    )]
    #[case::no_longer_its_own(json!({"status": {"podIP": "10.244.0.7", "phase": "Succeeded"}}), &[])]
    #[case::not_yet(json!({}), &[])]
    fn addresses_are_a_pods_own(#[case] pod: Value, #[case] expected: &[&str]) {
        let pod = serde_json::from_value(pod).unwrap();
        let found: Vec<_> = addresses(&pod).iter().map(ToString::to_string).collect();
        assert_eq!(found, expected);
    }

    #[rstest]
    #[case::as_it_is("10.244.0.7", true)]
    #[case::anothers("10.244.0.8", false)]
    #[case::in_disguise("::ffff:10.244.0.8", false)]
    #[case::a_name("db.example.com", false)]
    fn an_address_is_own_or_not(#[case] address: &str, #[case] expected: bool) {
        let around = Surroundings {
            own_addresses: [[10, 244, 0, 7].into()].into(),
            ..Surroundings::default()
        };
        assert_eq!(is_own(address, &around), expected);
    }
}
