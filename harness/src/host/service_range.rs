//! The range that a host allots service addresses from.
//!
//! Asked in this order: `ServiceCIDR` objects (newer hosts), the message with which the API server
//! refuses an impossible address in a dry run, and a search by dry runs.

use std::net::Ipv4Addr;

use ipnet::{IpNet, Ipv4Net};
use k8s_openapi::api::core::v1::{Service, ServicePort, ServiceSpec};
use kube::{
    Api, Client,
    api::{ApiResource, DynamicObject, GroupVersionKind, ListParams, ObjectMeta, PostParams},
};

use super::Error;

/// Finds out the range of the host called `host`.
pub(super) async fn discover(client: &Client, host: &str) -> Result<IpNet, Error> {
    if let Some(range) = from_objects(client).await {
        return Ok(range);
    }
    let services: Api<Service> = Api::default_namespaced(client.clone());
    let message = match dry_run(&services, Ipv4Addr::new(0, 0, 0, 1)).await {
        Err(kube::Error::Api(status)) => status.message,
        Err(error) => return Err(Error::api(host, "try an impossible service address")(error)),
        Ok(()) => "an impossible address was accepted".to_owned(),
    };
    if let Some(range) = in_message(&message) {
        return Ok(range);
    }
    search(&services).await.ok_or(Error::ServiceRange {
        host: host.to_owned(),
        reason: message,
    })
}

/// The range in the `ServiceCIDR` objects; `None` where the host has none or does not show them.
async fn from_objects(client: &Client) -> Option<IpNet> {
    for version in ["v1", "v1beta1"] {
        let kind = GroupVersionKind::gvk("networking.k8s.io", version, "ServiceCIDR");
        let resource = ApiResource::from_gvk_with_plural(&kind, "servicecidrs");
        let objects: Api<DynamicObject> = Api::all_with(client.clone(), &resource);
        if let Ok(list) = objects.list(&ListParams::default()).await
            && let Some(range) = widest(&list.items)
        {
            return Some(range);
        }
    }
    None
}

/// Hosts may have several; slices are cut from the widest.
fn widest(objects: &[DynamicObject]) -> Option<IpNet> {
    objects
        .iter()
        .filter(|object| object.metadata.deletion_timestamp.is_none())
        .filter_map(|object| object.data.pointer("/spec/cidrs")?.as_array())
        .flatten()
        .filter_map(|cidr| cidr.as_str()?.parse::<IpNet>().ok())
        .map(|range| range.trunc())
        // IPv4 first: pods of the virtual cluster talk IPv4 wherever there is a choice.
        .min_by_key(|range| (range.addr().is_ipv6(), range.prefix_len()))
}

async fn dry_run(services: &Api<Service>, address: Ipv4Addr) -> Result<(), kube::Error> {
    let service = Service {
        metadata: ObjectMeta {
            generate_name: Some("vcluster-test-range-".to_owned()),
            ..ObjectMeta::default()
        },
        spec: Some(ServiceSpec {
            cluster_ip: Some(address.to_string()),
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
    match dry_run(services, address).await {
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
        assert_eq!(in_message("something else"), None);
    }
    fn service_cidr(cidrs: &[&str]) -> DynamicObject {
        let json = json!({"metadata": {"name": "kubernetes"}, "spec": {"cidrs": cidrs}});
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn the_widest_range_is_taken_and_ipv4_before_ipv6() {
        let objects = [
            service_cidr(&["fd00::/64", "10.96.0.0/16"]),
            service_cidr(&["10.112.0.0/12"]),
        ];
        assert_eq!(widest(&objects), "10.112.0.0/12".parse().ok());
        assert_eq!(widest(&[]), None);
    }
}
