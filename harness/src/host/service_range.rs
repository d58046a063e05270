//! The range that a host allots service addresses from, or the two of a host of two address families.
//!
//! Asked in this order: `ServiceCIDR` objects (newer hosts), the message with which the API server
//! refuses an impossible address in a dry run, and a search by dry runs.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net};
use k8s_openapi::api::core::v1::{Service, ServicePort, ServiceSpec};
use kube::{
    Api, Client,
    api::{ApiResource, DynamicObject, GroupVersionKind, ListParams, ObjectMeta, PostParams},
};

use super::Error;
use crate::slice::ServiceRanges;

/// Finds out the ranges of the host called `host`.
pub(super) async fn discover(client: &Client, host: &str) -> Result<ServiceRanges, Error> {
    if let Some(ranges) = from_objects(client).await {
        return Ok(ranges);
    }
    let services: Api<Service> = Api::default_namespaced(client.clone());
    let impossible = async |address: IpAddr| match dry_run(&services, address).await {
        Err(kube::Error::Api(status)) => Ok(status.message),
        Err(error) => Err(Error::api(host, "try an impossible service address")(error)),
        Ok(()) => Ok("an impossible address was accepted".to_owned()),
    };
    let message = impossible(Ipv4Addr::new(0, 0, 0, 1).into()).await?;
    if let Some(first) = in_message(&message) {
        // A host of one family refuses the other one without naming a range.
        let second = in_message(&impossible(Ipv6Addr::LOCALHOST.into()).await?);
        return Ok(ServiceRanges { first, second });
    }
    let found = search(&services).await.map(ServiceRanges::from);
    found.ok_or(Error::ServiceRange {
        host: host.to_owned(),
        reason: message,
    })
}

/// The ranges in the `ServiceCIDR` objects; `None` where the host has none or does not show them.
async fn from_objects(client: &Client) -> Option<ServiceRanges> {
    for version in ["v1", "v1beta1"] {
        let kind = GroupVersionKind::gvk("networking.k8s.io", version, "ServiceCIDR");
        let resource = ApiResource::from_gvk_with_plural(&kind, "servicecidrs");
        let objects: Api<DynamicObject> = Api::all_with(client.clone(), &resource);
        if let Ok(list) = objects.list(&ListParams::default()).await
            && let Some(ranges) = widest(&list.items)
        {
            return Some(ranges);
        }
    }
    None
}

/// The object of the ranges that the API server was started with. It alone says how many families there are.
const OF_THE_SERVER: &str = "kubernetes";

/// Hosts may have several; slices are cut from the widest of each family.
fn widest(objects: &[DynamicObject]) -> Option<ServiceRanges> {
    let alive = objects
        .iter()
        .filter(|object| object.metadata.deletion_timestamp.is_none());
    let ranges: Vec<_> = alive.clone().flat_map(ranges).collect();
    // IPv4 first: pods of the virtual cluster talk IPv4 wherever there is a choice.
    let first = *ranges
        .iter()
        .min_by_key(|range| (range.addr().is_ipv6(), range.prefix_len()))?;
    let is_other = |range: &IpNet| range.addr().is_ipv6() != first.addr().is_ipv6();
    let has_two = alive
        .filter(|object| object.metadata.name.as_deref() == Some(OF_THE_SERVER))
        .any(|object| self::ranges(object).any(|range| is_other(&range)));
    let others = ranges.into_iter().filter(is_other);
    let second = others.min_by_key(IpNet::prefix_len).filter(|_| has_two);
    Some(ServiceRanges { first, second })
}

fn ranges(object: &DynamicObject) -> impl Iterator<Item = IpNet> {
    let cidrs = object.data.pointer("/spec/cidrs");
    let cidrs = cidrs.and_then(|cidrs| cidrs.as_array()).into_iter();
    cidrs
        .flatten()
        .filter_map(|cidr| cidr.as_str()?.parse::<IpNet>().ok())
        .map(|range| range.trunc())
}

async fn dry_run(services: &Api<Service>, address: IpAddr) -> Result<(), kube::Error> {
    let family = if address.is_ipv4() { "IPv4" } else { "IPv6" };
    let service = Service {
        metadata: ObjectMeta {
            generate_name: Some("vcluster-test-range-".to_owned()),
            ..ObjectMeta::default()
        },
        spec: Some(ServiceSpec {
            cluster_ip: Some(address.to_string()),
            ip_families: Some(vec![family.to_owned()]),
            ports: Some(vec![ServicePort {
                port: 443,
                ..ServicePort::default()
            }]),
            ..ServiceSpec::default()
        }),
        ..Service::default()
    };
    let parameters = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    services.create(&parameters, &service).await.map(drop)
}

/// The API server says `The range of valid IPs is 10.96.0.0/12`.
fn in_message(message: &str) -> Option<IpNet> {
    let (_, rest) = message.split_once("valid IPs is ")?;
    let end = rest
        .find(|c: char| !(c.is_ascii_hexdigit() || matches!(c, '.' | ':' | '/')))
        .unwrap_or(rest.len());
    rest[..end].trim_end_matches('.').parse().ok()
}

/// Asks address by address: first the usual private ranges for one inside, then how far it reaches.
async fn search(services: &Api<Service>) -> Option<IpNet> {
    let inside = inside_of(services).await?;
    let mut prefix: u8 = 32;
    // A wider range holds iff its other half does.
    while prefix > 8 {
        let neighbour = Ipv4Addr::from(u32::from(inside) ^ (1 << (32 - prefix)));
        if !accepts(services, neighbour).await {
            break;
        }
        prefix -= 1;
    }
    if prefix == 32 {
        return None;
    }
    Ipv4Net::new(inside, prefix)
        .ok()
        .map(|range| range.trunc().into())
}

/// The address of the service that every cluster has is the first of its range, so a later one is free.
async fn inside_of(services: &Api<Service>) -> Option<Ipv4Addr> {
    let kubernetes = Api::<Service>::namespaced(services.clone().into_client(), "default")
        .get("kubernetes")
        .await
        .ok()?;
    let first: Ipv4Addr = kubernetes.spec?.cluster_ip?.parse().ok()?;
    Some(Ipv4Addr::from(u32::from(first) ^ 0b10))
}

/// In the range, be it free or taken.
async fn accepts(services: &Api<Service>, address: Ipv4Addr) -> bool {
    match dry_run(services, address.into()).await {
        Ok(()) => true,
        Err(kube::Error::Api(status)) => status.message.contains("already allocated"),
        Err(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_refusal_names_the_range() {
        let message = "Service \"x\" is invalid: spec.clusterIPs: Invalid value: [\"0.0.0.1\"]: failed \
                       to allocate IP 0.0.0.1: the provided IP (0.0.0.1) is not in the valid range. The \
                       range of valid IPs is 10.96.0.0/12";
        assert_eq!(in_message(message), "10.96.0.0/12".parse().ok());
        assert_eq!(
            in_message(&format!("{message}, so there")),
            "10.96.0.0/12".parse().ok()
        );
        let message = "the provided IP (::1) is not in the valid range. The range of valid IPs is \
                       fd00:10:96::/112";
        assert_eq!(in_message(message), "fd00:10:96::/112".parse().ok());
        assert_eq!(in_message("something else"), None);
    }

    fn service_cidr(name: &str, cidrs: &[&str]) -> DynamicObject {
        let json = json!({"metadata": {"name": name}, "spec": {"cidrs": cidrs}});
        serde_json::from_value(json).unwrap()
    }

    fn found(objects: &[DynamicObject]) -> Option<String> {
        widest(objects).map(|ranges| ranges.to_string())
    }

    #[test]
    fn the_widest_range_is_taken_and_ipv4_before_ipv6() {
        let objects = [
            service_cidr("kubernetes", &["fd00::/108", "10.96.0.0/16"]),
            service_cidr("more", &["10.112.0.0/12"]),
            service_cidr("other", &["fd01::/64"]),
        ];
        assert_eq!(found(&objects).unwrap(), "10.112.0.0/12,fd01::/64");
        assert_eq!(found(&[]), None);
    }

    #[test]
    fn the_server_has_the_families_that_it_was_started_with() {
        let objects = [
            service_cidr("kubernetes", &["10.96.0.0/16"]),
            service_cidr("more", &["fd00::/108"]),
        ];
        assert_eq!(found(&objects).unwrap(), "10.96.0.0/16");
        let of_the_other = [service_cidr("kubernetes", &["fd00::/108"])];
        assert_eq!(found(&of_the_other).unwrap(), "fd00::/108");
    }
}
