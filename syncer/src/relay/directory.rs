//! Who is who: the nodes, pods and services of one virtual cluster, as the host knows them. All
//! decisions about who may be reached are made here, by looking up and never by asking.

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
};

use k8s_openapi::api::{
    core::v1::{Node, Pod, Service},
    discovery::v1::EndpointSlice,
};

use super::{
    records::{self, PodRecord, ServiceRecord, SliceRecord},
    refusal::Refusal,
    target::{Host, Target},
};
use crate::{ObjectKey, naming::NameTranslator};

/// The port that every virtual node gives for its kubelet.
pub const KUBELET_PORT: u16 = 10250;

/// What the host says about one cluster. Keys of all maps are host names.
#[derive(Debug)]
pub struct Directory {
    names: NameTranslator,
    api: ApiServer,
    pods: HashMap<String, PodRecord>,
    services: HashMap<String, ServiceRecord>,
    slices: HashMap<String, SliceRecord>,
    nodes: HashMap<String, Vec<Host>>,
}

/// The virtual API server itself, which some of its own requests aim at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiServer {
    /// The address of its Service.
    pub address: IpAddr,
    /// The host name of that Service.
    pub service: String,
}

/// Where a tunnel leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Route {
    /// To the kubelet that the relay plays for the node of this name.
    Kubelet(String),
    /// To this address.
    Connect(SocketAddr),
}

impl Directory {
    /// An empty directory.
    pub fn new(names: NameTranslator, api: ApiServer) -> Self {
        Self {
            names,
            api,
            pods: HashMap::new(),
            services: HashMap::new(),
            slices: HashMap::new(),
            nodes: HashMap::new(),
        }
    }

    /// Takes in what the host says about a pod; one that is not this cluster's is ignored.
    pub fn put_pod(&mut self, pod: &Pod) {
        put(
            &mut self.pods,
            pod.metadata.name.as_ref(),
            PodRecord::of(pod, &self.names),
        );
    }

    /// Takes in what the host says about a service; one that is not this cluster's is ignored.
    pub fn put_service(&mut self, service: &Service) {
        put(
            &mut self.services,
            service.metadata.name.as_ref(),
            ServiceRecord::of(service, &self.names),
        );
    }

    /// Takes in an endpoint slice of the host namespace.
    pub fn put_slice(&mut self, slice: &EndpointSlice) {
        put(
            &mut self.slices,
            slice.metadata.name.as_ref(),
            SliceRecord::of(slice),
        );
    }

    /// Takes in a node that the tenant sees although none of its pods is on it.
    pub fn put_node(&mut self, node: &Node) {
        let hosts = records::hosts_of(node);
        put(&mut self.nodes, node.metadata.name.as_ref(), Some(hosts));
    }

    /// Forgets the pod with this host name.
    pub fn remove_pod(&mut self, host_name: &str) {
        self.pods.remove(host_name);
    }

    /// Forgets the service with this host name.
    pub fn remove_service(&mut self, host_name: &str) {
        self.services.remove(host_name);
    }

    /// Forgets the endpoint slice with this name.
    pub fn remove_slice(&mut self, name: &str) {
        self.slices.remove(name);
    }

    /// Forgets a node given to [`Self::put_node`].
    pub fn remove_node(&mut self, name: &str) {
        self.nodes.remove(name);
    }

    /// The pod `key` on `node`.
    ///
    /// # Errors
    ///
    /// A pod that does not exist, runs on another node or has another uid.
    pub fn pod(
        &self,
        node: &str,
        key: &ObjectKey,
        uid: Option<&str>,
    ) -> Result<&PodRecord, Refusal> {
        let found = self.pods.get(&self.names.host_key(key).name);
        // Two virtual names may share a host name; only one of them has it.
        let pod = found
            .filter(|pod| pod.key == *key && pod.node.as_deref() == Some(node))
            .ok_or_else(|| Refusal::NoPod {
                pod: key.to_string(),
            })?;
        match uid {
            Some(uid) if uid != pod.uid => Err(Refusal::OtherPod {
                pod: key.to_string(),
                uid: uid.to_owned(),
            }),
            _ => Ok(pod),
        }
    }

    /// The pod that the host calls `name` in `namespace`, if it is this cluster's.
    pub(super) fn host_pod(&self, namespace: &str, name: &str) -> Option<&PodRecord> {
        let pod = self.pods.get(name)?;
        (namespace == self.names.host_namespace()).then_some(pod)
    }

    /// Where a tunnel to `target` leads.
    ///
    /// # Errors
    ///
    /// Everything that is not an address of this cluster.
    pub fn route(&self, target: &Target) -> Result<Route, Refusal> {
        if target.port == KUBELET_PORT
            && let Some(node) = self.node(&target.host)
        {
            return Ok(Route::Kubelet(node.to_owned()));
        }
        let foreign = || Refusal::Foreign {
            target: target.to_string(),
        };
        let address = match &target.host {
            Host::Address(address) => *address,
            Host::Name(name) => self.service_address(name).ok_or_else(foreign)?,
        };
        if is_never_reached(address) {
            return Err(Refusal::Never {
                target: target.to_string(),
            });
        }
        let address = SocketAddr::new(address, target.port);
        if self.is_api_server(address) {
            return Ok(Route::Connect(address));
        }
        if let Some((host_name, service)) = self.service_at(address.ip()) {
            return self.through_service(host_name, service, address);
        }
        self.pod_at(address)?
            .map(Route::Connect)
            .ok_or_else(foreign)
    }

    /// The node of this name or address.
    fn node(&self, host: &Host) -> Option<&str> {
        let mut carrying = self.pods.values().filter(|pod| pod.is_on(host));
        let mut others = self.nodes.iter().filter(|(_, hosts)| hosts.contains(host));
        carrying
            .find_map(|pod| pod.node.as_deref())
            .or_else(|| others.next().map(|(name, _)| name.as_str()))
    }

    /// `address` if a pod has it and may be reached there.
    fn pod_at(&self, address: SocketAddr) -> Result<Option<SocketAddr>, Refusal> {
        let mut undeclared = None;
        let running = self.pods.values().filter(|pod| !pod.is_over);
        for pod in running.filter(|pod| pod.addresses.contains(&address.ip())) {
            match &pod.node_ports {
                None => return Ok(Some(address)),
                // The address is the node's, so the node's own ports must stay out of reach.
                Some(ports) if ports.contains(&address.port()) => return Ok(Some(address)),
                Some(_) => undeclared = Some(&pod.key),
            }
        }
        match undeclared {
            None => Ok(None),
            Some(key) => Err(Refusal::Port {
                name: key.to_string(),
                port: address.port(),
            }),
        }
    }

    fn service_at(&self, address: IpAddr) -> Option<(&String, &ServiceRecord)> {
        self.services
            .iter()
            .find(|(_, service)| service.addresses.contains(&address))
    }

    /// The address of the service called `name.namespace.svc`, with or without the domain.
    fn service_address(&self, name: &str) -> Option<IpAddr> {
        let mut labels = name.split('.');
        let (service, namespace) = (labels.next()?, labels.next()?);
        (labels.next()? == "svc").then_some(())?;
        let key = ObjectKey::namespaced(namespace, service);
        let found = self.services.get(&self.names.host_key(&key).name)?;
        (found.key == key).then(|| found.addresses.first().copied())?
    }

    fn through_service(
        &self,
        host_name: &str,
        service: &ServiceRecord,
        address: SocketAddr,
    ) -> Result<Route, Refusal> {
        let name = service.key.to_string();
        let port = service
            .ports
            .iter()
            .find(|port| port.port == address.port())
            .ok_or_else(|| Refusal::Port {
                name: name.clone(),
                port: address.port(),
            })?;
        if service.selects_own_pods {
            return Ok(Route::Connect(address));
        }
        // The tenant wrote the endpoints. The host's proxy would follow them anywhere, so the
        // relay picks one itself, among those that are the tenant's own pods.
        let slices = self
            .slices
            .values()
            .filter(|slice| slice.service == host_name);
        slices
            .flat_map(|slice| {
                let ports = slice.ports.iter().filter(|other| other.name == port.name);
                ports.flat_map(|port| {
                    let addresses = slice.addresses.iter();
                    addresses.map(|&address| SocketAddr::new(address, port.port))
                })
            })
            .filter(|endpoint| !is_never_reached(endpoint.ip()))
            .find_map(|endpoint| self.pod_at(endpoint).ok().flatten())
            .map(Route::Connect)
            .ok_or(Refusal::NoOwnEndpoint { name })
    }

    fn is_api_server(&self, address: SocketAddr) -> bool {
        let is_endpoint = |slice: &SliceRecord| {
            slice.service == self.api.service
                && slice.addresses.contains(&address.ip())
                && slice.ports.iter().any(|port| port.port == address.port())
        };
        address == SocketAddr::new(self.api.address, 443) || self.slices.values().any(is_endpoint)
    }
}

/// Addresses that mean the relay itself, its node or nobody in particular.
fn is_never_reached(address: IpAddr) -> bool {
    let is_local = match address {
        IpAddr::V4(address) => address.is_link_local() || address.is_broadcast(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    };
    is_local || address.is_loopback() || address.is_unspecified() || address.is_multicast()
}

fn put<R>(records: &mut HashMap<String, R>, name: Option<&String>, record: Option<R>) {
    match (name, record) {
        (Some(name), Some(record)) => {
            records.insert(name.clone(), record);
        }
        // It was ours and is no more.
        (Some(name), None) => {
            records.remove(name);
        }
        (None, _) => {}
    }
}
