//! The relay between a test that plays the API server and a fake host.

mod api_server;
mod fake_host;
mod faults;
mod isolation;
mod metrics_api;
mod node;
mod pki;
mod requests;
mod rig;
mod streams;

use k8s_openapi::{
    api::{
        core::v1::{
            Container, ContainerPort, HostIP, Pod, PodIP, PodSpec, PodStatus, Service, ServicePort,
            ServiceSpec,
        },
        discovery::v1::{Endpoint, EndpointPort, EndpointSlice},
    },
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};

use super::{
    directory::{ApiServer, Directory},
    identity::tests::{meta, names},
};
use crate::labels;

/// The node that carries all pods here.
pub(super) const NODE: &str = "node-1";
pub(super) const NODE_ADDRESS: &str = "172.18.0.3";

/// A directory that knows nothing yet.
pub(super) fn directory() -> Directory {
    let api = ApiServer {
        address: [10, 96, 17, 1].into(),
        service: "test".to_owned(),
    };
    Directory::new(names(), api)
}

/// The twin of `default/NAME`, running at `address`.
pub(super) fn pod(name: &str, address: &str) -> Pod {
    Pod {
        metadata: meta(name),
        spec: Some(PodSpec {
            node_name: Some(NODE.to_owned()),
            containers: vec![Container {
                name: "main".to_owned(),
                ports: Some(vec![ContainerPort {
                    container_port: 8080,
                    ..ContainerPort::default()
                }]),
                ..Container::default()
            }],
            ..PodSpec::default()
        }),
        status: Some(PodStatus {
            phase: Some("Running".to_owned()),
            host_ip: Some(NODE_ADDRESS.to_owned()),
            host_ips: Some(vec![HostIP {
                ip: NODE_ADDRESS.to_owned(),
            }]),
            pod_ip: Some(address.to_owned()),
            pod_ips: Some(vec![PodIP {
                ip: address.to_owned(),
            }]),
            ..PodStatus::default()
        }),
    }
}

/// The twin of the service `default/NAME` with port 80, whose pods the host selects.
pub(super) fn service(name: &str, address: &str) -> Service {
    Service {
        metadata: meta(name),
        spec: Some(ServiceSpec {
            cluster_ip: Some(address.to_owned()),
            cluster_ips: Some(vec![address.to_owned()]),
            selector: Some([(labels::MANAGED_BY.to_owned(), "test".to_owned())].into()),
            ports: Some(vec![ServicePort {
                port: 80,
                ..ServicePort::default()
            }]),
            ..ServiceSpec::default()
        }),
        ..Service::default()
    }
}

/// Endpoints of the host service `service` on port 8080.
pub(super) fn slice(service: &str, addresses: &[&str]) -> EndpointSlice {
    EndpointSlice {
        metadata: ObjectMeta {
            name: Some(format!("{service}-abc")),
            namespace: Some("vc-test".to_owned()),
            labels: Some([("kubernetes.io/service-name".to_owned(), service.to_owned())].into()),
            ..ObjectMeta::default()
        },
        address_type: "IPv4".to_owned(),
        endpoints: Some(vec![Endpoint {
            addresses: addresses
                .iter()
                .map(|&address| address.to_owned())
                .collect(),
            ..Endpoint::default()
        }]),
        ports: Some(vec![EndpointPort {
            port: Some(8080),
            ..EndpointPort::default()
        }]),
    }
}
