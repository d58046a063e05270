//! What the relay remembers of host objects: addresses, ports and names, and nothing else.

use std::net::IpAddr;

use k8s_openapi::api::{
    core::v1::{Node, Pod, Service},
    discovery::v1::{Endpoint, EndpointSlice},
};

use super::{identity, target::Host};
use crate::{ObjectKey, labels, metadata::Identity, naming::NameTranslator, optional::Items as _};

/// One of this cluster's pods, as the host has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodRecord {
    /// Namespace and name in the virtual cluster.
    pub key: ObjectKey,
    /// The virtual pod's uid.
    pub uid: String,
    /// The host pod's name.
    pub host_name: String,
    /// The node that carries it.
    pub node: Option<String>,
    /// The node's addresses.
    pub node_addresses: Vec<IpAddr>,
    /// Its own addresses, or its node's if it uses the node's network.
    pub addresses: Vec<IpAddr>,
    /// The TCP ports that it declares, if it uses the node's network; else it may have any.
    pub node_ports: Option<Vec<u16>>,
    /// It runs no more, and its addresses may be somebody else's by now.
    pub is_over: bool,
}

/// One of this cluster's services, as the host has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceRecord {
    /// Namespace and name in the virtual cluster.
    pub key: ObjectKey,
    /// Its cluster addresses.
    pub addresses: Vec<IpAddr>,
    /// Its TCP ports.
    pub ports: Vec<PortRecord>,
    /// The host itself picks the endpoints, and only among this cluster's pods.
    pub selects_own_pods: bool,
}

/// A named port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortRecord {
    /// The name; empty for the only port of a service.
    pub name: String,
    /// The number.
    pub port: u16,
}

/// Some endpoints of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SliceRecord {
    /// The host name of the service.
    pub service: String,
    /// The addresses that are ready.
    pub addresses: Vec<IpAddr>,
    /// Its TCP ports.
    pub ports: Vec<PortRecord>,
}

impl PodRecord {
    /// What to remember of `pod`; none if it is not this cluster's.
    pub fn of(pod: &Pod, names: &NameTranslator) -> Option<Self> {
        let Identity { key, uid } = identity::of(pod, names)?;
        let spec = pod.spec.as_ref()?;
        let status = pod.status.clone().unwrap_or_default();
        let listed = status.pod_ips.iter().flatten().map(|entry| &entry.ip);
        let hosts = status.host_ips.iter().flatten().map(|entry| &entry.ip);
        let ports = spec.containers.iter().flat_map(|container| {
            let ports = container.ports.iter().flatten();
            let tcp = ports.filter(|port| is_tcp(port.protocol.as_ref()));
            tcp.filter_map(|port| u16::try_from(port.container_port).ok())
        });
        Some(Self {
            key,
            uid,
            host_name: pod.metadata.name.clone()?,
            node: spec.node_name.clone(),
            node_addresses: addresses(hosts.chain(&status.host_ip)),
            addresses: addresses(listed.chain(&status.pod_ip)),
            node_ports: (spec.host_network == Some(true)).then(|| ports.collect()),
            is_over: matches!(status.phase.as_deref(), Some("Succeeded" | "Failed")),
        })
    }

    /// Does the node that carries it go by the name or address `host`?
    pub(super) fn is_on(&self, host: &Host) -> bool {
        match host {
            Host::Address(address) => self.node_addresses.contains(address),
            Host::Name(name) => self
                .node
                .as_ref()
                .is_some_and(|node| node.eq_ignore_ascii_case(name)),
        }
    }
}

impl ServiceRecord {
    /// What to remember of `service`; none if it is not this cluster's.
    pub fn of(service: &Service, names: &NameTranslator) -> Option<Self> {
        let Identity { key, .. } = identity::of(service, names)?;
        let spec = service.spec.as_ref()?;
        let ports = spec.ports.iter().flatten();
        let tcp = ports.filter(|port| is_tcp(port.protocol.as_ref()));
        let managed_by = spec
            .selector
            .as_ref()
            .and_then(|selector| selector.get(labels::MANAGED_BY));
        Some(Self {
            key,
            addresses: addresses(spec.cluster_ips.iter().flatten().chain(&spec.cluster_ip)),
            ports: tcp
                .filter_map(|port| PortRecord::new(port.name.as_ref(), port.port))
                .collect(),
            selects_own_pods: managed_by.is_some_and(|value| value == names.managed_by()),
        })
    }
}

impl SliceRecord {
    /// What to remember of `slice`; none if it is nobody's.
    pub fn of(slice: &EndpointSlice) -> Option<Self> {
        let labels = slice.metadata.labels.as_ref()?;
        let ready = slice.endpoints.items().iter().filter(|endpoint| {
            let conditions = endpoint.conditions.as_ref();
            conditions.and_then(|conditions| conditions.ready) != Some(false)
        });
        let ports = slice.ports.iter().flatten();
        let tcp = ports.filter(|port| is_tcp(port.protocol.as_ref()));
        Some(Self {
            service: labels.get("kubernetes.io/service-name")?.clone(),
            addresses: addresses(ready.flat_map(|endpoint: &Endpoint| &endpoint.addresses)),
            ports: tcp
                .filter_map(|port| PortRecord::new(port.name.as_ref(), port.port?))
                .collect(),
        })
    }
}

impl PortRecord {
    fn new(name: Option<&String>, port: i32) -> Option<Self> {
        Some(Self {
            name: name.cloned().unwrap_or_default(),
            port: u16::try_from(port).ok()?,
        })
    }
}

/// The name and the addresses of `node`.
pub(super) fn hosts_of(node: &Node) -> Vec<Host> {
    let status = node.status.as_ref();
    let addresses = status.and_then(|status| status.addresses.as_ref());
    let listed = addresses.into_iter().flatten().map(|entry| &entry.address);
    listed
        .chain(&node.metadata.name)
        .filter_map(|text| Host::parse(text))
        .collect()
}

fn is_tcp(protocol: Option<&String>) -> bool {
    protocol.is_none_or(|protocol| protocol == "TCP")
}

/// Each address once; what is no address, like `None`, is left out.
fn addresses<'a>(texts: impl IntoIterator<Item = &'a String>) -> Vec<IpAddr> {
    let mut found = Vec::new();
    for address in texts
        .into_iter()
        .filter_map(|text| text.parse::<IpAddr>().ok())
    {
        if !found.contains(&address.to_canonical()) {
            found.push(address.to_canonical());
        }
    }
    found
}
