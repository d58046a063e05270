//! The Service in front of the API server. Its address is the claim on a slice.

use std::net::IpAddr;

use k8s_openapi::{
    api::core::v1::{Service, ServicePort, ServiceSpec},
    apimachinery::pkg::util::intstr::IntOrString,
};
use vcluster_syncer::{ObjectKey, naming::NameTranslator};

use crate::cluster::names::{CONTROL_PLANE, Names};

/// How the API server is reached from outside the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cluster) enum Exposure {
    /// On a port of every node.
    NodePort,
    /// Not at all; whoever wants to connects through the host's API server.
    ClusterIp,
}

/// With the given address, or one of the host's choice.
pub(in crate::cluster) fn service(
    names: &Names,
    address: Option<IpAddr>,
    exposure: Exposure,
    api_port: u16,
) -> Service {
    let exposure = match exposure {
        Exposure::NodePort => "NodePort",
        Exposure::ClusterIp => "ClusterIP",
    };
    Service {
        metadata: names.metadata(names.control_plane()),
        spec: Some(ServiceSpec {
            type_: Some(exposure.to_owned()),
            cluster_ip: address.map(|address| address.to_string()),
            selector: Some([(CONTROL_PLANE.to_owned(), names.cluster().to_owned())].into()),
            // The port is set up while the server starts; the harness asks the server itself.
            publish_not_ready_addresses: Some(true),
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
