//! What a tenant tries, and does not get.

use std::net::IpAddr;

use http::Method;
use kube::client::Body;
use rstest::rstest;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::{
    NODE, NODE_ADDRESS, api_server, fake_host::full, pki::Authority, pod, rig::API_SERVER,
    rig::Rig, service, slice,
};
use crate::{
    ObjectKey, labels,
    relay::{
        ApiServer, Directory, Refusal, RelayOptions, Route, Target, identity::tests::names,
        kubelet_request::KubeletRequest,
    },
};

/// A cluster with one pod, two services, and a host full of other things.
fn directory() -> Directory {
    let api = ApiServer {
        address: IpAddr::from([10, 96, 17, 1]),
        service: "test".to_owned(),
    };
    let mut directory = Directory::new(names(), api);
    directory.put_pod(&pod("web", "10.244.0.5"));
    directory.put_service(&service("web", "10.96.17.20"));
    directory.put_slice(&slice("test", &["10.244.0.4"]));

    let mut on_node = pod("agent", NODE_ADDRESS);
    on_node.spec.as_mut().unwrap().host_network = Some(true);
    directory.put_pod(&on_node);

    let mut over = pod("job", "10.244.0.6");
    over.status.as_mut().unwrap().phase = Some("Succeeded".to_owned());
    directory.put_pod(&over);

    let mut foreign = pod("db", "10.244.0.7");
    let labels = foreign.metadata.labels.as_mut().unwrap();
    labels.insert(labels::MANAGED_BY.to_owned(), "other".to_owned());
    directory.put_pod(&foreign);
    let mut foreign = service("db", "10.96.18.20");
    foreign.metadata.name = Some("db-x-default-x-other".to_owned());
    directory.put_service(&foreign);
    directory
}

fn route(directory: &Directory, target: &str) -> Result<Route, Refusal> {
    directory.route(&Target::parse(target).unwrap())
}

#[rstest]
#[case::pod("10.244.0.5:9090")]
#[case::service("10.96.17.20:80")]
#[case::own_api_server("10.96.17.1:443")]
#[case::own_api_servers_endpoint("10.244.0.4:8080")]
#[case::port_declared_on_the_node("172.18.0.3:8080")]
#[case::ipv6_clothes("[::ffff:10.244.0.5]:9090")]
fn own_addresses_are_reached(#[case] target: &str) {
    let Route::Connect(address) = route(&directory(), target).unwrap() else {
        panic!("{target} is no kubelet");
    };
    let Target { host, port } = Target::parse(target).unwrap();
    assert_eq!((address.ip().into(), address.port()), (host, port));
}

#[rstest]
#[case::by_address("172.18.0.3:10250")]
#[case::by_name("node-1:10250")]
#[case::in_capitals("NODE-1:10250")]
fn nodes_are_played(#[case] target: &str) {
    let expected = Route::Kubelet(NODE.to_owned());
    assert_eq!(route(&directory(), target), Ok(expected));
}

#[rstest]
#[case::foreign_pod("10.244.0.7:5432")]
#[case::foreign_service("10.96.18.20:80")]
#[case::hosts_api("10.96.0.1:443")]
#[case::control_planes_store("10.244.0.4:2379")]
#[case::own_api_server_elsewhere("10.96.17.1:22")]
#[case::another_node("172.18.0.2:10250")]
#[case::node_api_server("172.18.0.2:6443")]
#[case::address_of_a_pod_that_is_over("10.244.0.6:80")]
#[case::internet("1.1.1.1:443")]
#[case::name_that_nobody_has("metadata.google.internal:80")]
#[case::localhost_by_name("localhost:80")]
#[case::odd_spelling_of_loopback("127.1:2379")]
#[case::foreign_service_by_name("db.default.svc:80")]
#[case::ipv6_clothes_around_a_foreign_pod("[::ffff:10.244.0.7]:5432")]
#[case::nat64_around_a_foreign_pod("[64:ff9b::10.244.0.7]:5432")]
fn everything_else_is_foreign(#[case] target: &str) {
    let expected = Refusal::Foreign {
        target: Target::parse(target).unwrap().to_string(),
    };
    assert_eq!(route(&directory(), target), Err(expected));
}

#[rstest]
#[case::kubelet_read_only(10255)]
#[case::ssh(22)]
#[case::node_port(30080)]
fn a_node_gives_no_port_that_the_pod_on_its_network_does_not_declare(#[case] port: u16) {
    let expected = Refusal::Port {
        name: "default/agent".to_owned(),
        port,
    };
    let target = format!("{NODE_ADDRESS}:{port}");
    assert_eq!(route(&directory(), &target), Err(expected));
}

#[test]
fn a_service_gives_no_port_that_it_does_not_declare() {
    let refusal = route(&directory(), "10.96.17.20:81").unwrap_err();
    assert_eq!(refusal.status(), 403);
}

#[rstest]
#[case::loopback("127.0.0.1")]
#[case::ipv6_loopback("[::1]")]
#[case::mapped_loopback("[::ffff:127.0.0.1]")]
#[case::unspecified("0.0.0.0")]
#[case::metadata_service("169.254.169.254")]
#[case::link_local("[fe80::1]")]
#[case::multicast("224.0.0.1")]
#[case::broadcast("255.255.255.255")]
fn some_addresses_are_never_reached_whoever_claims_them(#[case] address: &str) {
    let mut directory = directory();
    let claimed = address.trim_matches(['[', ']']);
    directory.put_pod(&pod("liar", claimed));
    directory.put_service(&service("liar", claimed));
    directory.put_slice(&slice("test", &[claimed]));
    for port in [80, 8080] {
        let refusal = route(&directory, &format!("{address}:{port}")).unwrap_err();
        assert!(matches!(refusal, Refusal::Never { .. }), "{refusal}");
    }
}

/// A service without a selector, whose endpoints the tenant wrote.
fn with_written_endpoints(addresses: &[&str]) -> Directory {
    let mut directory = directory();
    let mut written = service("written", "10.96.17.30");
    written.spec.as_mut().unwrap().selector = None;
    directory.put_service(&written);
    directory.put_slice(&slice("written-x-default-x-test", addresses));
    directory
}

#[rstest]
#[case::foreign_pod(&["10.244.0.7"])]
#[case::hosts_api(&["172.18.0.2"])]
#[case::metadata_service(&["169.254.169.254"])]
#[case::a_pod_that_is_over(&["10.244.0.6"])]
#[case::nothing(&[])]
fn written_endpoints_lead_nowhere_else(#[case] addresses: &[&str]) {
    let expected = Refusal::NoOwnEndpoint {
        name: "default/written".to_owned(),
    };
    let directory = with_written_endpoints(addresses);
    assert_eq!(route(&directory, "10.96.17.30:80"), Err(expected));
}

#[test]
fn written_endpoints_lead_to_own_pods_without_the_hosts_help() {
    let directory = with_written_endpoints(&["10.244.0.7", "10.244.0.5"]);
    let expected = Route::Connect(([10, 244, 0, 5], 8080).into());
    assert_eq!(route(&directory, "10.96.17.30:80"), Ok(expected));
}

#[test]
fn a_selector_without_the_clusters_label_is_not_trusted() {
    let mut directory = directory();
    let mut wide = service("wide", "10.96.17.31");
    let selector = [("app".to_owned(), "db".to_owned())].into();
    wide.spec.as_mut().unwrap().selector = Some(selector);
    directory.put_service(&wide);
    assert!(route(&directory, "10.96.17.31:80").is_err());
}

#[test]
fn services_are_known_by_name_too() {
    let expected = Route::Connect(([10, 96, 17, 20], 80).into());
    for name in ["web.default.svc", "web.default.svc.cluster.local"] {
        let found = route(&directory(), &format!("{name}:80"));
        assert_eq!(found, Ok(expected.clone()), "{name}");
    }
}

#[test]
fn pods_are_found_by_their_virtual_names_and_uids_on_their_nodes_only() {
    let directory = directory();
    let web = ObjectKey::namespaced("default", "web");
    let found = |node, key: &ObjectKey, uid| {
        let pod = directory.pod(node, key, uid)?;
        Ok::<_, Refusal>(pod.host_name.clone())
    };
    let host_name = "web-x-default-x-test".to_owned();
    assert_eq!(found(NODE, &web, None), Ok(host_name.clone()));
    assert_eq!(found(NODE, &web, Some("uid-of-web")), Ok(host_name.clone()));
    assert!(found(NODE, &web, Some("uid-of-db")).is_err());
    assert!(found("node-2", &web, None).is_err());
    assert!(found(NODE, &ObjectKey::namespaced("kube-system", "web"), None).is_err());
    assert!(found(NODE, &ObjectKey::namespaced("default", &host_name), None).is_err());
    // This one would have the same host name.
    assert!(found(NODE, &ObjectKey::namespaced("x-default", "web"), None).is_err());
    assert!(found(NODE, &ObjectKey::namespaced("default", "db"), None).is_err());
}

#[rstest]
#[case::foreign_pod("/containerLogs/default/db/main")]
#[case::parent("/containerLogs/default/../main")]
#[case::encoded_slash("/containerLogs/default/web%2F..%2Fdb/main")]
#[case::encoded_dots("/containerLogs/default/%2e%2e/main")]
#[case::encoded_line_break("/containerLogs/default/web%0d%0aHost:x/main")]
#[case::empty_container("/containerLogs/default/web/")]
#[case::double_slash("//containerLogs/default/web/main")]
#[case::query_in_a_name("/containerLogs/default/web/main%3Fx=1")]
#[case::node_logs("/logs/syslog")]
#[case::checkpoint("/checkpoint/default/web/main")]
#[case::run("/run/default/web/main?cmd=id")]
#[case::configuration("/configz")]
#[case::profile("/debug/pprof/heap")]
#[case::hosts_api("/api/v1/namespaces/kube-system/secrets")]
#[case::host_node_proxy("/api/v1/nodes/node-1/proxy/pods")]
#[case::metrics_of_another_kind("/metrics/slis")]
#[case::container_stats("/stats/container")]
#[tokio::test]
async fn what_is_not_the_tenants_is_not_asked_for(#[case] path: &str) {
    let rig = Rig::with_pod(|_| full(200, "secret")).await;
    let (status, body) = rig.get(path).await;
    assert!(matches!(status, 400 | 404 | 405), "{status}: {body}");
    assert!(rig.host.seen().is_empty(), "{:?}", rig.host.seen());
    rig.stop().await;
}

#[rstest]
#[case::delete(Method::DELETE)]
#[case::patch(Method::PATCH)]
#[case::post(Method::POST)]
fn logs_are_only_read(#[case] method: Method) {
    let request = KubeletRequest::parse(&method, "/containerLogs/default/web/main", None);
    assert_eq!(request, Err(Refusal::Method));
}

#[tokio::test]
async fn the_refusal_says_why_in_its_status_line() {
    let rig = Rig::with_pod(|_| full(200, "")).await;
    let status = api_server::connect(&rig.socket, "10.96.0.1:443").await;
    let expected = "HTTP/1.1 403 10.96.0.1:443 is not an address of this cluster";
    assert_eq!(status.unwrap_err(), expected);
    rig.stop().await;
}

#[tokio::test]
async fn only_the_api_server_speaks_to_a_kubelet() {
    let rig = Rig::with_pod(|_| full(200, "")).await;
    let impostor = Authority::new();
    let callers = [
        ("nobody", rig.authority.anonymous()),
        (
            "a tenant",
            rig.authority.client("system:masters", &rig.authority),
        ),
        ("a stranger", impostor.client(API_SERVER, &rig.authority)),
    ];
    for (who, config) in callers {
        let tls = api_server::handshake(rig.tunnel().await, NODE_ADDRESS, config).await;
        // In TLS 1.3 the client may learn of its refusal only with the first answer.
        if let Ok(stream) = tls {
            let mut kubelet = api_server::Kubelet::open(stream).await;
            let request = http::Request::get("/healthz").body(Body::empty()).unwrap();
            assert!(kubelet.send(request).await.is_err(), "{who} got an answer");
        }
    }
    rig.stop().await;
}

#[tokio::test]
async fn the_certificate_names_the_node_that_was_asked_for() {
    let rig = Rig::with_pod(|_| full(200, "")).await;
    for (name, is_right) in [(NODE_ADDRESS, true), ("172.18.0.4", false), (NODE, false)] {
        let config = rig.authority.client(API_SERVER, &rig.authority);
        let tls = api_server::handshake(rig.tunnel().await, name, config).await;
        assert_eq!(tls.is_ok(), is_right, "{name}");
    }
    rig.stop().await;
}

#[tokio::test]
async fn over_tcp_only_the_api_server_is_let_in() {
    let adjust = |options: &mut RelayOptions| options.tcp = Some(([127, 0, 0, 1], 0).into());
    let rig = Rig::start_with(|_| full(200, ""), adjust).await;
    let ask = |config| {
        let address = rig.tcp.unwrap();
        async move {
            let stream = TcpStream::connect(address).await?;
            let mut tls = api_server::handshake(stream, "127.0.0.1", config).await?;
            let request = b"CONNECT 10.96.0.1:443 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n";
            tls.write_all(request).await?;
            let mut start = [0; 12];
            tls.read_exact(&mut start).await?;
            std::io::Result::Ok(start)
        }
    };
    let answer = ask(rig.authority.client(API_SERVER, &rig.authority)).await;
    assert_eq!(&answer.unwrap(), b"HTTP/1.1 403");
    for stranger in [
        rig.authority.anonymous(),
        rig.authority.client("system:masters", &rig.authority),
    ] {
        assert!(ask(stranger).await.is_err());
    }
    rig.stop().await;
}
