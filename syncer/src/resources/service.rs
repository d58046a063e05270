//! Services keep their address: the virtual API server allocates it from this cluster's slice of
//! the host's range, and the host service is made with the same one.

use k8s_openapi::api::core::v1::{
    LoadBalancerStatus, Service, ServicePort, ServiceSpec, ServiceStatus,
};
use kube::core::Status;

use crate::{
    metadata,
    object_key::ObjectKey,
    plan::Step,
    resource::{ResourceSyncer, TranslateError, Translation},
    selector,
};

/// Syncs [`Service`].
#[derive(Debug)]
pub struct Services;

/// The virtual API server's own Service; its twin is the control plane's Service on the host.
pub fn api_server() -> ObjectKey {
    ObjectKey::namespaced("default", "kubernetes")
}

impl ResourceSyncer for Services {
    type Object = Service;

    /// Not those that are another name: the tenant's own DNS knows them, and on the host only ingress
    /// controllers would follow them, to where the tenant may not go.
    fn selects(object: &Service, cx: &Translation) -> bool {
        let is_name = object.spec.as_ref().is_some_and(is_external_name);
        ObjectKey::of(object) != api_server()
            && !metadata::is_controlled_elsewhere(object)
            && (!is_name || cx.facts.sync.to_host.services.external_names.enabled)
    }

    fn to_host(object: &Service, cx: &Translation) -> Result<Service, TranslateError> {
        let namespace = object.metadata.namespace.as_deref().unwrap_or_default();
        let metadata =
            metadata::to_host_without(&object.metadata, cx, &["field.cattle.io/publicEndpoints"])?;
        let spec = object.spec.as_ref().map(|spec| ServiceSpec {
            selector: selector::map_to_host(spec.selector.as_ref(), &cx.names, namespace),
            // The host chooses: its range of node ports is shared by all clusters.
            ports: spec.ports.as_ref().map(|ports| {
                ports
                    .iter()
                    .map(|port| ServicePort {
                        node_port: None,
                        ..port.clone()
                    })
                    .collect()
            }),
            health_check_node_port: None,
            external_ips: spec.external_ips.clone().filter(|_| takes_external_ips(cx)),
            external_traffic_policy: traffic_policy(spec, cx),
            ip_family_policy: family_policy(spec),
            ..spec.clone()
        });
        Ok(Service {
            metadata,
            spec,
            status: None,
        })
    }

    /// The host's node ports and load balancers.
    fn to_virtual(host: &Service, object: &Service, _: &Translation) -> Option<Service> {
        let mut news = object.clone();
        let host_spec = host.spec.as_ref()?;
        let spec = news.spec.as_mut()?;
        // Ports that were changed a moment ago do not match the host's yet.
        if spec.type_ == host_spec.type_
            && are_same(spec.ports.as_deref(), host_spec.ports.as_deref())
        {
            let host_ports = host_spec.ports.iter().flatten();
            for (port, host_port) in spec.ports.iter_mut().flatten().zip(host_ports) {
                port.node_port = host_port.node_port;
            }
            if host_spec
                .health_check_node_port
                .is_some_and(|port| port != 0)
            {
                spec.health_check_node_port = host_spec.health_check_node_port;
            }
        }
        let load_balancer = match spec.type_.as_deref() {
            Some("LoadBalancer") => host
                .status
                .as_ref()
                .and_then(|status| status.load_balancer.clone())
                .unwrap_or_default(),
            _ => LoadBalancerStatus::default(),
        };
        news.status = Some(ServiceStatus {
            load_balancer: Some(load_balancer),
            ..object.status.clone().unwrap_or_default()
        });
        Some(news)
    }

    fn withheld(object: &Service, cx: &Translation) -> Option<String> {
        let addresses = object.spec.as_ref()?.external_ips.as_deref()?;
        let stays = !addresses.is_empty() && !takes_external_ips(cx);
        stays.then(|| {
            format!(
                "spec.externalIPs ({}) is not synced to the host, where it would take traffic of \
                 others; toHost.services.externalIPs allows it",
                addresses.join(", ")
            )
        })
    }

    /// Somebody else's service may sit on an address of the slice. Then, and only then, the virtual
    /// service is made anew, with another address.
    fn after_refusal(object: &Service, refusal: &Status) -> Option<Step<Service>> {
        let is_taken = refusal.message.contains("provided IP is already allocated");
        let spec = object.spec.as_ref()?;
        if !is_taken
            || spec
                .cluster_ip
                .as_deref()
                .is_none_or(|ip| ip.is_empty() || ip == "None")
        {
            return None;
        }
        let mut anew = object.clone();
        let spec = anew.spec.as_mut()?;
        spec.cluster_ip = None;
        spec.cluster_ips = None;
        anew.status = None;
        anew.metadata.resource_version = None;
        anew.metadata.managed_fields = None;
        Some(Step::RecreateVirtual {
            uid: anew.metadata.uid.take()?,
            object: Box::new(anew),
        })
    }
}

fn takes_external_ips(cx: &Translation) -> bool {
    cx.facts.sync.to_host.services.external_ips.enabled
}

/// API servers give a policy to what can be reached from outside, and refuse one for anything else.
fn traffic_policy(spec: &ServiceSpec, cx: &Translation) -> Option<String> {
    let is_open = matches!(spec.type_.as_deref(), Some("NodePort" | "LoadBalancer"));
    let policy = spec.external_traffic_policy.clone();
    policy.filter(|_| is_open || takes_external_ips(cx))
}

fn is_external_name(spec: &ServiceSpec) -> bool {
    spec.type_.as_deref() == Some("ExternalName")
}

/// The families are those that the virtual cluster found: where it has one, a host of two must not add
/// an address that the tenant does not know.
fn family_policy(spec: &ServiceSpec) -> Option<String> {
    let is_one = spec.ip_families.as_ref().is_some_and(|it| it.len() == 1);
    let prefers = spec.ip_family_policy.as_deref() == Some("PreferDualStack");
    if is_one && prefers {
        return Some("SingleStack".to_owned());
    }
    spec.ip_family_policy.clone()
}

/// Are these the same ports but for what the host chose?
fn are_same(ports: Option<&[ServicePort]>, host: Option<&[ServicePort]>) -> bool {
    let (ports, host) = (ports.unwrap_or_default(), host.unwrap_or_default());
    let without_node_port = |port: &ServicePort| ServicePort {
        node_port: None,
        ..port.clone()
    };
    ports.len() == host.len()
        && ports
            .iter()
            .zip(host)
            .all(|(port, host)| without_node_port(port) == without_node_port(host))
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::LoadBalancerIngress;
    use rstest::rstest;

    use super::*;
    use crate::{labels, metadata::tests::meta, resource::tests::translation};

    fn service(type_: &str) -> Service {
        Service {
            metadata: meta("default", "web"),
            spec: Some(ServiceSpec {
                cluster_ip: Some("10.96.17.20".to_owned()),
                cluster_ips: Some(vec!["10.96.17.20".to_owned()]),
                ports: Some(vec![ServicePort {
                    port: 80,
                    node_port: Some(30_000),
                    ..ServicePort::default()
                }]),
                selector: Some([("app".to_owned(), "web".to_owned())].into()),
                type_: Some(type_.to_owned()),
                ..ServiceSpec::default()
            }),
            status: None,
        }
    }

    #[test]
    fn the_address_is_the_same_on_both_sides() {
        let host = Services::to_host(&service("ClusterIP"), &translation()).unwrap();
        let spec = host.spec.unwrap();
        assert_eq!(spec.cluster_ip.as_deref(), Some("10.96.17.20"));
        assert_eq!(spec.ports.unwrap()[0].node_port, None);
        assert_eq!(spec.selector.unwrap()[labels::NAMESPACE], "default");
    }

    #[test]
    fn the_api_servers_own_service_stays() {
        let mut object = service("ClusterIP");
        assert!(Services::selects(&object, &translation()));
        object.metadata.name = Some("kubernetes".to_owned());
        assert!(!Services::selects(&object, &translation()));
    }

    #[test]
    fn external_addresses_stay_unless_allowed() {
        let mut object = service("ClusterIP");
        let spec = object.spec.as_mut().unwrap();
        spec.external_ips = Some(vec!["192.0.2.7".to_owned()]);
        // API servers add it, and refuse it where nothing comes from outside.
        spec.external_traffic_policy = Some("Cluster".to_owned());
        let mut cx = translation();
        let host = Services::to_host(&object, &cx).unwrap().spec.unwrap();
        assert_eq!(
            (host.external_ips, host.external_traffic_policy),
            (None, None)
        );
        let told = Services::withheld(&object, &cx).unwrap();
        assert!(told.contains("192.0.2.7"), "{told}");
        assert_eq!(Services::withheld(&service("ClusterIP"), &cx), None);
        let facts = std::sync::Arc::make_mut(&mut cx.facts);
        facts.sync.to_host.services.external_ips.enabled = true;
        let host = Services::to_host(&object, &cx).unwrap().spec.unwrap();
        assert_eq!(host.external_ips.unwrap(), ["192.0.2.7"]);
        assert!(host.external_traffic_policy.is_some());
        assert_eq!(Services::withheld(&object, &cx), None);
    }

    #[test]
    fn another_name_stays_unless_allowed() {
        let mut object = service("ExternalName");
        object.spec.as_mut().unwrap().external_name = Some("db.other.svc".to_owned());
        let mut cx = translation();
        assert!(!Services::selects(&object, &cx));
        let facts = std::sync::Arc::make_mut(&mut cx.facts);
        facts.sync.to_host.services.external_names.enabled = true;
        assert!(Services::selects(&object, &cx));
    }

    #[rstest]
    #[case::one_of_one("SingleStack", &["IPv4"], "SingleStack")]
    #[case::one_that_wanted_two("PreferDualStack", &["IPv4"], "SingleStack")]
    #[case::two("PreferDualStack", &["IPv4", "IPv6"], "PreferDualStack")]
    #[case::two_that_needs_them("RequireDualStack", &["IPv6", "IPv4"], "RequireDualStack")]
    fn both_sides_have_the_same_families(
        #[case] policy: &str,
        #[case] families: &[&str],
        #[case] expected: &str,
    ) {
        let own = |list: &[&str]| Some(list.iter().map(|&it| it.to_owned()).collect::<Vec<_>>());
        let addresses = own(&["10.96.17.20", "fd00::20"][..families.len()]);
        let mut object = service("ClusterIP");
        let spec = object.spec.as_mut().unwrap();
        spec.ip_family_policy = Some(policy.to_owned());
        spec.ip_families = own(families);
        spec.cluster_ips = addresses.clone();
        let host = Services::to_host(&object, &translation()).unwrap();
        let host = host.spec.unwrap();
        assert_eq!(host.ip_family_policy.as_deref(), Some(expected));
        assert_eq!(
            (host.ip_families, host.cluster_ips),
            (own(families), addresses)
        );
    }

    #[test]
    fn node_ports_are_the_hosts() {
        let mut host = service("NodePort");
        host.spec.as_mut().unwrap().ports.as_mut().unwrap()[0].node_port = Some(31_234);
        let news = Services::to_virtual(&host, &service("NodePort"), &translation()).unwrap();
        assert_eq!(news.spec.unwrap().ports.unwrap()[0].node_port, Some(31_234));
    }

    #[test]
    fn ports_that_do_not_match_yet_wait() {
        let mut host = service("NodePort");
        host.spec.as_mut().unwrap().ports.as_mut().unwrap()[0].port = 81;
        let news = Services::to_virtual(&host, &service("NodePort"), &translation()).unwrap();
        assert_eq!(news.spec, service("NodePort").spec);
    }

    #[test]
    fn only_load_balancers_have_their_status() {
        let mut host = service("LoadBalancer");
        let ingress = LoadBalancerIngress {
            ip: Some("192.0.2.1".to_owned()),
            ..LoadBalancerIngress::default()
        };
        let balancer = LoadBalancerStatus {
            ingress: Some(vec![ingress]),
        };
        host.status = Some(ServiceStatus {
            load_balancer: Some(balancer.clone()),
            conditions: None,
        });
        let of = |type_: &str| {
            let news = Services::to_virtual(&host, &service(type_), &translation()).unwrap();
            news.status.unwrap().load_balancer
        };
        assert_eq!(of("LoadBalancer"), Some(balancer));
        assert_eq!(of("ClusterIP"), Some(LoadBalancerStatus::default()));
    }

    #[test]
    fn a_taken_address_and_nothing_else_costs_the_virtual_service_its_own() {
        let refusal = |message: &str| Status {
            message: message.to_owned(),
            ..Status::default()
        };
        let taken = refusal(
            "spec.clusterIPs: Invalid value: failed to allocate IP: provided IP is already allocated",
        );
        let Some(Step::RecreateVirtual { object, uid }) =
            Services::after_refusal(&service("ClusterIP"), &taken)
        else {
            panic!()
        };
        assert_eq!(uid, "uid-of-web");
        assert_eq!(object.spec.unwrap().cluster_ip, None);
        assert_eq!(
            Services::after_refusal(&service("ClusterIP"), &refusal("exceeded quota")),
            None,
        );
    }
}
