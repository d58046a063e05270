//! Services and what is behind them.

use http::StatusCode;
use k8s_openapi::api::{
    core::v1::{EndpointAddress, EndpointSubset, Endpoints, Service, ServicePort, ServiceSpec},
    discovery::v1::EndpointSlice,
};
use serde_json::json;

use super::world::{HOST, TEAM, World, host_name, meta};
use crate::fake_api::FakeApi;

fn service(address: &str, selector: bool) -> Service {
    Service {
        metadata: meta("web"),
        spec: Some(ServiceSpec {
            cluster_ip: Some(address.to_owned()),
            ports: Some(vec![ServicePort {
                port: 80,
                ..ServicePort::default()
            }]),
            selector: selector.then(|| [("app".to_owned(), "web".to_owned())].into()),
            type_: Some("ClusterIP".to_owned()),
            ..ServiceSpec::default()
        }),
        status: None,
    }
}

fn address(cluster: &FakeApi) -> Option<String> {
    cluster
        .get::<Service>(HOST, &host_name("web"))?
        .spec?
        .cluster_ip
}

#[tokio::test]
async fn a_service_has_the_same_address_on_both_sides() {
    let world = World::awake().await;
    world.on_virtual.put(&service("10.96.17.20", true));
    let found = world
        .on_host
        .wait_for("the service", |cluster| {
            address(cluster).ok_or_else(String::new)
        })
        .await;
    assert_eq!(found, "10.96.17.20");
    world.on_virtual.remove::<Service>(TEAM, "web");
    world
        .on_host
        .wait_for("it to go", |cluster| address(cluster).map_or(Ok(()), Err))
        .await;
}

#[tokio::test]
async fn a_taken_address_is_given_up() {
    let world = World::awake().await;
    world.on_host.refuse_creation(
        "web",
        StatusCode::UNPROCESSABLE_ENTITY,
        "spec.clusterIPs: Invalid value: failed to allocate IP 10.96.17.20: provided IP is already allocated",
    );
    let first = world.on_virtual.put(&service("10.96.17.20", true));
    world
        .on_virtual
        .wait_for("another service without an address of its own", |cluster| {
            let service = cluster.get::<Service>(TEAM, "web").ok_or("none")?;
            let address = service.spec.unwrap().cluster_ip;
            let is_anew = service.metadata.uid != first.metadata.uid && address.is_none();
            is_anew.then_some(()).ok_or_else(|| format!("{address:?}"))
        })
        .await;
}

#[tokio::test]
async fn endpoints_are_the_tenants_only_without_a_selector() {
    let world = World::awake().await;
    world.on_virtual.put(&service("10.96.17.20", true));
    world.on_virtual.put(&Endpoints {
        metadata: meta("web"),
        subsets: Some(vec![EndpointSubset {
            addresses: Some(vec![EndpointAddress {
                ip: "192.0.2.1".to_owned(),
                ..EndpointAddress::default()
            }]),
            ..EndpointSubset::default()
        }]),
    });
    world.settle().await;
    let twin = |cluster: &FakeApi| cluster.get::<Endpoints>(HOST, &host_name("web"));
    assert!(twin(&world.on_host).is_none());
    world.on_virtual.edit::<Service>(TEAM, "web", |service| {
        service.spec.as_mut().unwrap().selector = None;
    });
    world
        .on_host
        .wait_for("the endpoints", |cluster| {
            twin(cluster).map(|_| ()).ok_or_else(String::new)
        })
        .await;
}

#[tokio::test]
async fn the_api_server_is_behind_its_own_service() {
    let world = World::asleep();
    let slice: EndpointSlice = serde_json::from_value(json!({
        "metadata": {"name": "test-abc", "namespace": "vcluster-test",
            "labels": {"kubernetes.io/service-name": "test"}},
        "addressType": "IPv4",
        "endpoints": [{"addresses": ["10.244.0.9"], "conditions": {"ready": false}}],
        "ports": [{"name": "https", "port": 6443}],
    }))
    .unwrap();
    world.on_host.put(&slice);
    let mut world = world;
    world.wake().await;
    let endpoints = world
        .on_virtual
        .wait_for("endpoints", |cluster| {
            cluster
                .get::<Endpoints>(Some("default"), "kubernetes")
                .ok_or_else(String::new)
        })
        .await;
    assert_eq!(
        endpoints.subsets.unwrap()[0].addresses.as_ref().unwrap()[0].ip,
        "10.244.0.9"
    );
    // Somebody deletes the slice alone.
    world.settle().await;
    world
        .on_virtual
        .remove::<EndpointSlice>(Some("default"), "kubernetes");
    world
        .on_virtual
        .wait_for("the slice", |cluster| {
            cluster
                .get::<EndpointSlice>(Some("default"), "kubernetes")
                .map(|_| ())
                .ok_or_else(String::new)
        })
        .await;
}
