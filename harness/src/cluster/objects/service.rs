//! The Service in front of the API server. Its address is the claim on a slice.

use std::net::IpAddr;

use k8s_openapi::{
    api::core::v1::{Service, ServicePort, ServiceSpec},
    apimachinery::pkg::util::intstr::IntOrString,
};
use vcluster_syncer::{ObjectKey, naming::NameTranslator};

use crate::cluster::names::{CONTROL_PLANE, Names};

/// The label by which the host tells the pods of a stateful set apart.
const POD_NAME: &str = "statefulset.kubernetes.io/pod-name";

/// How the API server is reached from outside the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cluster) enum Exposure {
    /// On a port of every node.
    NodePort,
    /// Not at all; whoever wants to connects through the host's API server.
    ClusterIp,
}

/// With the given address, one of each family, or one of the host's choice.
pub(in crate::cluster) fn service(
    names: &Names,
    addresses: &[IpAddr],
    exposure: Exposure,
    api_port: u16,
    replicas: u8,
) -> Service {
    let exposure = match exposure {
        Exposure::NodePort => "NodePort",
        Exposure::ClusterIp => "ClusterIP",
    };
    let are_two = addresses.len() > 1;
    Service {
        metadata: names.metadata(names.control_plane()),
        spec: Some(ServiceSpec {
            type_: Some(exposure.to_owned()),
            cluster_ip: addresses.first().map(ToString::to_string),
            cluster_ips: are_two.then(|| addresses.iter().map(ToString::to_string).collect()),
            ip_family_policy: are_two.then(|| "RequireDualStack".to_owned()),
            selector: Some([(CONTROL_PLANE.to_owned(), names.cluster().to_owned())].into()),
            // With one server the port is set up while it starts; the harness asks the server itself. Of
            // several only those that are ready are asked.
            publish_not_ready_addresses: Some(replicas == 1),
            ports: Some(vec![ServicePort {
                name: Some("https".to_owned()),
                port: 443,
                target_port: Some(IntOrString::Int(api_port.into())),
                ..ServicePort::default()
            }]),
            ..ServiceSpec::default()
        }),
        ..Service::default()
    }
}

/// The Services by which several pods find one another: each has an address before there is a pod.
pub(in crate::cluster) fn member_services(names: &Names, replicas: u8) -> Vec<Service> {
    let count = if replicas > 1 { replicas } else { 0 };
    let member = |pod: String| Service {
        spec: Some(ServiceSpec {
            selector: Some(
                [
                    (CONTROL_PLANE.to_owned(), names.cluster().to_owned()),
                    (POD_NAME.to_owned(), pod.clone()),
                ]
                .into(),
            ),
            // Members meet before they are ready.
            publish_not_ready_addresses: Some(true),
            ports: Some(vec![ServicePort {
                name: Some("peer".to_owned()),
                port: 2380,
                ..ServicePort::default()
            }]),
            ..ServiceSpec::default()
        }),
        metadata: names.metadata(pod),
        ..Service::default()
    };
    names.replicas(count).names().map(member).collect()
}

/// The twin of `kube-system/kube-dns`, made first where only the host can say which address is free.
pub(in crate::cluster) fn dns_service(names: &Names) -> Service {
    let translator = NameTranslator::new(names.cluster(), names.namespace());
    let twin = translator.host_key(&ObjectKey::namespaced("kube-system", "kube-dns"));
    let port = |name: &str, protocol: &str| ServicePort {
        name: Some(name.to_owned()),
        port: 53,
        protocol: Some(protocol.to_owned()),
        ..ServicePort::default()
    };
    Service {
        metadata: names.metadata(twin.name),
        spec: Some(ServiceSpec {
            ports: Some(vec![port("dns", "UDP"), port("dns-tcp", "TCP")]),
            ..ServiceSpec::default()
        }),
        ..Service::default()
    }
}
