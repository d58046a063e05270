//! The endpoints of `default/kubernetes`: the virtual API server makes the Service, whose address is
//! the host Service's, and we say what is behind it.

use std::{net::IpAddr, sync::Arc, time::Duration};

use k8s_openapi::{
    api::{
        core::v1::{EndpointAddress, EndpointPort, EndpointSubset, Endpoints},
        discovery::v1::{Endpoint, EndpointConditions, EndpointPort as SlicePort, EndpointSlice},
    },
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use kube::ResourceExt;
use serde_json::Value;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use crate::{
    ObjectKey,
    cache::Cache,
    chain::Chain,
    clusters::Clusters,
    cover,
    optional::{self, Items as _},
    queue::{Outcome, Queue},
    resource::Synced,
    resources::{endpoint_slice::SERVICE_NAME, service},
    worker, write,
};

/// Keeps the endpoints of the virtual API server.
#[derive(Debug)]
pub(crate) struct KubernetesService {
    clusters: Arc<Clusters>,
    queue: Queue<()>,
}

/// Where the API server really is.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Backend {
    address_type: String,
    addresses: Vec<String>,
    port: i32,
}

impl KubernetesService {
    /// Hears of the host's endpoints of the control plane and of our own.
    pub(crate) fn new(clusters: &Arc<Clusters>) -> Arc<Self> {
        let controller = Arc::new(Self {
            clusters: Arc::clone(clusters),
            queue: Queue::default(),
        });
        // Weak, as the caches live as long as the clusters do, and the controller holds those.
        let weak = Arc::downgrade(&controller);
        let service = clusters.config.service.clone();
        clusters
            .caches
            .endpoint_slices
            .on_host
            .subscribe(move |change| {
                let is_ours = change
                    .newest()
                    .is_some_and(|slice| belongs_to(slice, &service));
                if let Some(controller) = weak.upgrade().filter(|_| is_ours) {
                    controller.queue.add(());
                }
            });
        controller.hear(&clusters.caches.endpoints.on_virtual);
        controller.hear(&clusters.caches.endpoint_slices.on_virtual);
        controller
    }

    /// Listens for what is shown of the API server in the virtual cluster.
    fn hear<K: Synced>(self: &Arc<Self>, shown: &Cache<K>) {
        let weak = Arc::downgrade(self);
        shown.subscribe(move |change| {
            let is_ours = change.key == service::api_server();
            if let Some(controller) = weak.upgrade().filter(|_| is_ours) {
                controller.queue.add(());
            }
        });
    }

    /// Works until `stop`.
    pub(crate) async fn run(self: Arc<Self>, stop: CancellationToken) {
        self.queue.add(());
        worker::work(&self.queue, &stop, |()| {
            let controller = Arc::clone(&self);
            async move {
                controller.reconcile().await.unwrap_or_else(|error| {
                    debug!(error = %Chain(&error), "no endpoints of the API server yet");
                    Outcome::Failed {
                        first: Duration::from_millis(50),
                        longest: Duration::from_secs(5),
                    }
                })
            }
        })
        .await;
    }

    async fn reconcile(&self) -> Result<Outcome, write::Error> {
        let caches = &self.clusters.caches;
        let slices = caches
            .endpoint_slices
            .on_host
            .filter(|slice| belongs_to(slice, &self.clusters.config.service));
        // On a host of two families there is a slice of each.
        let family = family(self.clusters.config.api_address);
        let mut of_the_family = slices.iter().filter(|slice| slice.address_type == family);
        let Some(backend) = of_the_family.find_map(|slice| backend(slice)) else {
            return Ok(Outcome::Done);
        };
        let key = service::api_server();
        self.keep(
            &endpoints(&backend),
            caches.endpoints.on_virtual.get(&key).as_deref(),
        )
        .await?;
        self.keep(
            &slice(&backend),
            caches.endpoint_slices.on_virtual.get(&key).as_deref(),
        )
        .await?;
        Ok(Outcome::Done)
    }

    async fn keep<K: Synced>(&self, wanted: &K, shown: Option<&K>) -> Result<(), write::Error> {
        let json = |object: &K| serde_json::to_value(object).unwrap_or(Value::Null);
        if shown.is_some_and(|shown| cover::covers(&json(shown), &json(wanted))) {
            return Ok(());
        }
        self.clusters.on_virtual.own(wanted).await
    }
}

/// What endpoint slices call the family of an address.
fn family(address: IpAddr) -> &'static str {
    if address.is_ipv4() { "IPv4" } else { "IPv6" }
}

fn belongs_to(slice: &EndpointSlice, service: &str) -> bool {
    slice
        .labels()
        .get(SERVICE_NAME)
        .is_some_and(|name| name == service)
}

/// The API servers in a slice of the host: the ready ones, or all when none is ready, since one of
/// them answers us and a pod that starts is ready only after us.
fn backend(slice: &EndpointSlice) -> Option<Backend> {
    let endpoints = slice.endpoints.items();
    let is_ready = |endpoint: &&Endpoint| {
        endpoint
            .conditions
            .as_ref()
            .is_some_and(|conditions| conditions.ready == Some(true))
    };
    let mut chosen: Vec<_> = endpoints.iter().filter(is_ready).collect();
    if chosen.is_empty() {
        chosen = endpoints.iter().collect();
    }
    let mut addresses: Vec<_> = chosen
        .iter()
        .flat_map(|endpoint| endpoint.addresses.iter().cloned())
        .collect();
    addresses.sort();
    let ports = slice.ports.iter().flatten();
    let port = ports
        .clone()
        .find(|port| port.name.as_deref() == Some("https"))
        .or(ports.clone().next())?
        .port?;
    (!addresses.is_empty()).then(|| Backend {
        address_type: slice.address_type.clone(),
        addresses,
        port,
    })
}

fn metadata(label: (&str, &str)) -> ObjectMeta {
    let ObjectKey { namespace, name } = service::api_server();
    ObjectMeta {
        namespace,
        name: Some(name),
        labels: Some([(label.0.to_owned(), label.1.to_owned())].into()),
        ..ObjectMeta::default()
    }
}

fn endpoints(backend: &Backend) -> Endpoints {
    let addresses = backend.addresses.iter().map(|ip| EndpointAddress {
        ip: ip.clone(),
        ..EndpointAddress::default()
    });
    Endpoints {
        // The slice below is the mirror already.
        metadata: metadata(("endpointslice.kubernetes.io/skip-mirror", "true")),
        subsets: Some(vec![EndpointSubset {
            addresses: Some(addresses.collect()),
            not_ready_addresses: None,
            ports: Some(vec![EndpointPort {
                name: Some("https".to_owned()),
                port: backend.port,
                protocol: Some("TCP".to_owned()),
                app_protocol: None,
            }]),
        }]),
    }
}

fn slice(backend: &Backend) -> EndpointSlice {
    // One for each server: the addresses of one endpoint count as one.
    let endpoints = backend.addresses.iter().map(|address| Endpoint {
        addresses: vec![address.clone()],
        conditions: Some(EndpointConditions {
            ready: Some(true),
            ..EndpointConditions::default()
        }),
        ..Endpoint::default()
    });
    EndpointSlice {
        metadata: metadata((SERVICE_NAME, "kubernetes")),
        address_type: backend.address_type.clone(),
        endpoints: optional::list(endpoints.collect()),
        ports: Some(vec![SlicePort {
            name: Some("https".to_owned()),
            port: Some(backend.port),
            protocol: Some("TCP".to_owned()),
            app_protocol: None,
        }]),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn host_slice(ready: &[bool]) -> EndpointSlice {
        let endpoints: Vec<_> = ready
            .iter()
            .enumerate()
            .map(|(index, ready)| {
                json!({"addresses": [format!("10.0.0.{index}")], "conditions": {"ready": ready}})
            })
            .collect();
        serde_json::from_value(json!({
            "metadata": {"name": "web-abc", "labels": {SERVICE_NAME: "web"}},
            "addressType": "IPv4",
            "endpoints": endpoints,
            "ports": [{"name": "metrics", "port": 8080}, {"name": "https", "port": 6443}],
        }))
        .unwrap()
    }

    #[test]
    fn only_ready_servers_are_told_of() {
        let backend = backend(&host_slice(&[false, true])).unwrap();
        assert_eq!(backend.addresses, ["10.0.0.1"]);
        assert_eq!(backend.port, 6443);
    }

    #[test]
    fn the_first_server_is_told_of_before_it_is_ready() {
        assert_eq!(
            backend(&host_slice(&[false])).unwrap().addresses,
            ["10.0.0.0"]
        );
        assert_eq!(backend(&host_slice(&[])), None);
    }

    #[test]
    fn both_forms_name_every_server() {
        let backend = backend(&host_slice(&[true, true])).unwrap();
        let subset = endpoints(&backend).subsets.unwrap().remove(0);
        let slice = slice(&backend);
        let of_endpoints: Vec<_> = subset
            .addresses
            .unwrap()
            .into_iter()
            .map(|a| a.ip)
            .collect();
        let of_slice: Vec<_> = slice
            .endpoints
            .unwrap()
            .into_iter()
            .map(|endpoint| endpoint.addresses)
            .collect();
        assert_eq!(of_endpoints, ["10.0.0.0", "10.0.0.1"]);
        assert_eq!(of_slice, [["10.0.0.0"], ["10.0.0.1"]]);
        assert_eq!(
            subset.ports.unwrap()[0].port,
            slice.ports.unwrap()[0].port.unwrap()
        );
    }
}
