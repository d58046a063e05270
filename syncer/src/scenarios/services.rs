//! Services and what is behind them.

use http::StatusCode;
use k8s_openapi::api::{
    core::v1::{
        EndpointAddress, EndpointSubset, Endpoints, Pod, Service, ServicePort, ServiceSpec,
    },
    discovery::v1::EndpointSlice,
    events::v1::Event,
};
use serde_json::json;

use super::world::{HOST, TEAM, World, host_name, meta, pod};
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

fn open_service(address: &str, type_: &str) -> Service {
    let mut service = service(address, false);
    service.spec.as_mut().unwrap().type_ = Some(type_.to_owned());
    service
}

fn endpoints(addresses: &[&str]) -> Endpoints {
    let address = |ip: &&str| EndpointAddress {
        ip: (*ip).to_owned(),
        ..EndpointAddress::default()
    };
    Endpoints {
        metadata: meta("web"),
        subsets: Some(vec![EndpointSubset {
            addresses: Some(addresses.iter().map(address).collect()),
            ..EndpointSubset::default()
        }]),
    }
}

/// The addresses behind the service on the host.
fn behind(cluster: &FakeApi) -> Option<Vec<String>> {
    let endpoints = cluster.get::<Endpoints>(HOST, &host_name("web"))?;
    let subsets = endpoints.subsets.into_iter().flatten();
    let addresses = subsets.flat_map(|subset| subset.addresses.unwrap_or_default());
    Some(addresses.map(|address| address.ip).collect())
}

async fn wait_for_behind(world: &World, expected: &[&str]) {
    world
        .on_host
        .wait_for(&format!("{expected:?}"), |cluster| {
            let found = behind(cluster);
            let is_met = found.as_ref().is_some_and(|found| found == expected);
            is_met.then_some(()).ok_or_else(|| format!("{found:?}"))
        })
        .await;
}

#[tokio::test]
async fn a_service_takes_no_traffic_of_others_and_its_author_is_told() {
    let world = World::awake().await;
    let mut greedy = service("10.96.17.20", true);
    greedy.spec.as_mut().unwrap().external_ips = Some(vec!["192.0.2.7".to_owned()]);
    world.on_virtual.put(&greedy);
    let event = world.warning().await;
    assert_eq!(event.reason.as_deref(), Some("PartlySynced"));
    let note = event.note.unwrap();
    assert!(
        note.contains("192.0.2.7") && note.contains("toHost.services.externalIPs"),
        "{note}"
    );
    world.settle().await;
    let twin = world
        .on_host
        .get::<Service>(HOST, &host_name("web"))
        .unwrap();
    assert_eq!(twin.spec.unwrap().external_ips, None);
    let own = world.on_virtual.get::<Service>(TEAM, "web").unwrap();
    assert!(
        own.spec.unwrap().external_ips.is_some(),
        "it is the tenant's"
    );
}

#[tokio::test]
async fn external_addresses_that_are_allowed_go_to_the_host() {
    let allow = |sync: &mut crate::config::Sync| sync.to_host.services.external_ips.enabled = true;
    let world = World::awake_with(allow).await;
    let mut service = service("10.96.17.20", true);
    service.spec.as_mut().unwrap().external_ips = Some(vec!["192.0.2.7".to_owned()]);
    world.on_virtual.put(&service);
    let has_them = |service: &Service| service.spec.as_ref().unwrap().external_ips.is_some();
    world
        .on_host
        .wait_for_object(HOST, &host_name("web"), has_them)
        .await;
    assert!(world.on_virtual.list::<Event>().is_empty());
}

#[tokio::test]
async fn a_service_that_becomes_another_name_leaves_the_host() {
    let world = World::awake().await;
    world.on_virtual.put(&service("10.96.17.20", true));
    world
        .on_host
        .wait_for_object::<Service>(HOST, &host_name("web"), |_| true)
        .await;
    world.on_virtual.edit::<Service>(TEAM, "web", |service| {
        let spec = service.spec.as_mut().unwrap();
        spec.type_ = Some("ExternalName".to_owned());
        spec.external_name = Some("db.other.svc.cluster.local".to_owned());
        (spec.cluster_ip, spec.cluster_ips) = (None, None);
    });
    world
        .on_host
        .wait_until_gone::<Service>(HOST, &host_name("web"))
        .await;
}

#[tokio::test]
async fn behind_an_open_service_are_the_tenants_pods_for_as_long_as_they_live() {
    let world = World::awake().await;
    world
        .on_virtual
        .put(&open_service("10.96.17.20", "NodePort"));
    world
        .on_virtual
        .put(&endpoints(&["10.244.0.7", "10.244.0.8"]));
    wait_for_behind(&world, &[]).await;
    let note = world.warning().await.note.unwrap();
    assert!(note.contains("toHost.services.foreignEndpoints"), "{note}");
    world.on_virtual.put(&pod("web"));
    world.run_pod("web").await;
    wait_for_behind(&world, &["10.244.0.7"]).await;
    // Somebody else's pod may get the address now.
    world.on_virtual.remove::<Pod>(TEAM, "web");
    wait_for_behind(&world, &[]).await;
    world.on_virtual.edit::<Service>(TEAM, "web", |service| {
        service.spec.as_mut().unwrap().type_ = Some("ClusterIP".to_owned());
    });
    wait_for_behind(&world, &["10.244.0.7", "10.244.0.8"]).await;
}

#[tokio::test]
async fn a_service_of_one_family_stays_so_on_a_host_of_two() {
    let world = World::awake().await;
    let mut object = service("10.96.17.20", true);
    let spec = object.spec.as_mut().unwrap();
    spec.cluster_ips = Some(vec!["10.96.17.20".to_owned()]);
    spec.ip_families = Some(vec!["IPv4".to_owned()]);
    spec.ip_family_policy = Some("PreferDualStack".to_owned());
    world.on_virtual.put(&object);
    let is_single = |service: &Service| {
        let spec = service.spec.as_ref().unwrap();
        spec.ip_family_policy.as_deref() == Some("SingleStack")
    };
    world
        .on_host
        .wait_for_object(HOST, &host_name("web"), is_single)
        .await;
    world.settle().await;
    let own = world.on_virtual.get::<Service>(TEAM, "web").unwrap().spec;
    assert_eq!(
        own.unwrap().ip_family_policy.as_deref(),
        Some("PreferDualStack")
    );
}

#[tokio::test]
async fn a_service_of_two_families_has_both_addresses_on_both_sides() {
    let world = World::awake().await;
    let mut object = service("10.96.17.20", true);
    let spec = object.spec.as_mut().unwrap();
    let addresses = ["10.96.17.20", "fd00:10:96::20"].map(str::to_owned);
    spec.cluster_ips = Some(addresses.to_vec());
    spec.ip_families = Some(vec!["IPv4".to_owned(), "IPv6".to_owned()]);
    spec.ip_family_policy = Some("RequireDualStack".to_owned());
    world.on_virtual.put(&object);
    let host = host_name("web");
    let twin: Service = world.on_host.wait_for_object(HOST, &host, |_| true).await;
    let spec = twin.spec.unwrap();
    assert_eq!(spec.cluster_ips.unwrap(), addresses);
    assert_eq!(spec.ip_families.unwrap(), ["IPv4", "IPv6"]);
    // A controller of the tenant's writes a slice for each family.
    world.on_virtual.edit::<Service>(TEAM, "web", |service| {
        service.spec.as_mut().unwrap().selector = None;
    });
    for (name, family, address) in [
        ("web-v4", "IPv4", "192.0.2.1"),
        ("web-v6", "IPv6", "2001:db8::1"),
    ] {
        let slice: EndpointSlice = serde_json::from_value(json!({
            "metadata": {"name": name, "namespace": "team", "labels": {"kubernetes.io/service-name": "web"}},
            "addressType": family, "endpoints": [{"addresses": [address]}],
        }))
        .unwrap();
        world.on_virtual.put(&slice);
        let is_same =
            |twin: &EndpointSlice| twin.address_type == family && twin.endpoints == slice.endpoints;
        world
            .on_host
            .wait_for_object(HOST, &host_name(name), is_same)
            .await;
    }
}

#[tokio::test]
async fn a_pod_has_all_addresses_that_the_host_gave_it() {
    let world = World::awake().await;
    world.on_virtual.put(&pod("web"));
    world.run_pod("web").await;
    let both = json!([{"ip": "10.244.0.7"}, {"ip": "fd00:10:244::7"}]);
    world.on_host.edit::<Pod>(HOST, &host_name("web"), |pod| {
        pod.status.as_mut().unwrap().pod_ips = serde_json::from_value(both.clone()).unwrap();
    });
    let has_both = |pod: &Pod| {
        let addresses = pod.status.as_ref().unwrap().pod_ips.as_ref();
        addresses.is_some_and(|it| it.len() == 2)
    };
    world
        .on_virtual
        .wait_for_object(TEAM, "web", has_both)
        .await;
}

fn change(world: &World, change: impl Fn(&mut ServiceSpec)) {
    let edit = |service: &mut Service| change(service.spec.as_mut().unwrap());
    world.on_virtual.edit::<Service>(TEAM, "web", edit);
}

async fn wait_for_twin(world: &World, is_met: impl Fn(&ServiceSpec) -> bool) {
    let is_met = |service: &Service| is_met(service.spec.as_ref().unwrap());
    world
        .on_host
        .wait_for_object(HOST, &host_name("web"), is_met)
        .await;
}

#[tokio::test]
async fn a_service_changes_its_type_and_keeps_its_address() {
    let world = World::awake().await;
    world.on_virtual.put(&service("10.96.17.20", true));
    let types = ["NodePort", "LoadBalancer", "ClusterIP", "ExternalName"];
    for type_ in types.iter().chain(["ClusterIP"].iter()) {
        change(&world, |spec| {
            spec.type_ = Some((*type_).to_owned());
            let is_name = *type_ == "ExternalName";
            spec.external_name = is_name.then(|| "db.example.com".to_owned());
            spec.cluster_ip = (!is_name).then(|| "10.96.17.20".to_owned());
        });
        if *type_ == "ExternalName" {
            let twin = host_name("web");
            world.on_host.wait_until_gone::<Service>(HOST, &twin).await;
            continue;
        }
        wait_for_twin(&world, |spec| {
            spec.type_.as_deref() == Some(*type_)
                && spec.cluster_ip.as_deref() == Some("10.96.17.20")
        })
        .await;
        let opened = *type_ != "ClusterIP";
        world
            .on_host
            .edit::<Service>(HOST, &host_name("web"), |service| {
                let ports = service.spec.as_mut().unwrap().ports.as_mut().unwrap();
                ports[0].node_port = opened.then_some(31_234);
            });
        let has_its_port = |service: &Service| {
            let ports = service.spec.as_ref().unwrap().ports.as_ref().unwrap();
            ports[0].node_port == opened.then_some(31_234)
        };
        world
            .on_virtual
            .wait_for_object(TEAM, "web", has_its_port)
            .await;
    }
    world.settle().await;
}

#[tokio::test]
async fn clients_stay_with_their_pod_for_as_long_as_the_tenant_says() {
    let world = World::awake().await;
    world.on_virtual.put(&service("10.96.17.20", true));
    change(&world, |spec| {
        spec.session_affinity = Some("ClientIP".to_owned());
        let config = json!({"clientIP": {"timeoutSeconds": 60}});
        spec.session_affinity_config = serde_json::from_value(config).unwrap();
    });
    wait_for_twin(&world, |spec| {
        let config = spec.session_affinity_config.as_ref();
        let seconds = config.and_then(|it| it.client_ip.as_ref()?.timeout_seconds);
        spec.session_affinity.as_deref() == Some("ClientIP") && seconds == Some(60)
    })
    .await;
    change(&world, |spec| {
        spec.session_affinity = Some("None".to_owned());
        spec.session_affinity_config = None;
    });
    wait_for_twin(&world, |spec| {
        spec.session_affinity.as_deref() == Some("None") && spec.session_affinity_config.is_none()
    })
    .await;
}
