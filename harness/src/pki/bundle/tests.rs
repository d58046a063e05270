use std::{net::IpAddr, sync::Arc, time::Instant};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use kube::config::Kubeconfig;
use rstest::rstest;
use rustls::{
    RootCertStore,
    client::{WebPkiServerVerifier, danger::ServerCertVerifier as _},
    crypto::ring,
    pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject as _},
    server::WebPkiClientVerifier,
};
use x509_parser::{parse_x509_certificate, pem::parse_x509_pem};

use super::*;

const NODE: &str = "172.18.0.2";

fn pki() -> Pki {
    let names = ServerNames {
        cluster: "web",
        namespace: "vc-web",
        domain: "cluster.local",
        service: "10.96.17.1".parse().unwrap(),
        nodes: &[NODE.parse::<IpAddr>().unwrap()],
    };
    Pki::generate(names, now()).unwrap()
}

fn now() -> Timestamp {
    "2026-03-01T12:00:00Z".parse().unwrap()
}

fn unix(text: &str) -> UnixTime {
    let seconds = text.parse::<Timestamp>().unwrap().as_second();
    UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds.unsigned_abs()))
}

fn der(pem: &str) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()
}

fn roots(pem: &str) -> Arc<RootCertStore> {
    let mut roots = RootCertStore::empty();
    roots.add(der(pem)).unwrap();
    Arc::new(roots)
}

#[track_caller]
fn check_server(pki: &Pki, name: &str, at: &str) -> Result<(), rustls::Error> {
    let provider = Arc::new(ring::default_provider());
    let verifier =
        WebPkiServerVerifier::builder_with_provider(roots(&pki.files["ca.crt"]), provider)
            .build()
            .unwrap();
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let leaf = der(&pki.files["apiserver.crt"]);
    verifier
        .verify_server_cert(&leaf, &[], &name, &[], unix(at))
        .map(drop)
}

#[track_caller]
fn check_client(authority: &str, certificate: &str) -> Result<(), rustls::Error> {
    let provider = Arc::new(ring::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(roots(authority), provider)
        .build()
        .unwrap();
    verifier
        .verify_client_cert(&der(certificate), &[], unix("2026-03-01T12:00:00Z"))
        .map(drop)
}

#[test]
fn the_layout_is_kubeadms() {
    let files: Vec<_> = pki().files.into_keys().collect();
    assert_eq!(
        files,
        [
            "admin.conf",
            "apiserver-kubelet-client.crt",
            "apiserver-kubelet-client.key",
            "apiserver.crt",
            "apiserver.key",
            "ca.crt",
            "ca.key",
            "controller-manager.conf",
            "front-proxy-ca.crt",
            "front-proxy-ca.key",
            "front-proxy-client.crt",
            "front-proxy-client.key",
            "sa.key",
            "sa.pub",
            "scheduler.conf",
            "syncer.conf",
        ]
    );
}

#[rstest]
#[case::loopback("127.0.0.1")]
#[case::loopback_v6("::1")]
#[case::localhost("localhost")]
#[case::inside("kubernetes.default.svc.cluster.local")]
#[case::what_clients_ask_for(ServerNames::TLS_NAME)]
#[case::first_address("10.96.17.1")]
#[case::node(NODE)]
#[case::service("web")]
#[case::service_in_namespace("web.vc-web")]
#[case::service_from_afar("web.vc-web.svc.cluster.local")]
fn the_api_server_is_trusted_as(#[case] name: &str) {
    check_server(&pki(), name, "2026-03-01T12:00:00Z").unwrap();
}

#[rstest]
#[case::another_name("kubernetes.io", "2026-03-01T12:00:00Z")]
#[case::another_address("10.96.17.2", "2026-03-01T12:00:00Z")]
#[case::after_ten_years("localhost", "2036-03-02T00:00:00Z")]
fn the_api_server_is_not_trusted(#[case] name: &str, #[case] at: &str) {
    assert!(check_server(&pki(), name, at).is_err());
}

#[rstest]
#[case::a_host_one_day_behind("2026-02-28T12:00:01Z")]
#[case::years_later("2035-12-31T00:00:00Z")]
fn certificates_hold(#[case] at: &str) {
    check_server(&pki(), "localhost", at).unwrap();
}

#[rstest]
#[case::admin("admin.conf", "O=system:masters, CN=kubernetes-admin")]
#[case::syncer("syncer.conf", "O=system:masters, CN=system:vcluster-syncer")]
#[case::controllers(
    "controller-manager.conf",
    "O=system:masters, CN=system:kube-controller-manager"
)]
#[case::scheduler("scheduler.conf", "CN=system:kube-scheduler")]
fn a_kubeconfig_names_its_user(#[case] file: &str, #[case] subject: &str) {
    let pki = pki();
    let kubeconfig: Kubeconfig = serde_yaml_ng::from_str(&pki.files[file]).unwrap();
    let cluster = kubeconfig.clusters[0].cluster.as_ref().unwrap();
    assert_eq!(cluster.server.as_deref(), Some(LOCAL_SERVER));

    let user = kubeconfig.auth_infos[0].auth_info.as_ref().unwrap();
    let data = user.client_certificate_data.as_ref().unwrap();
    let pem = String::from_utf8(BASE64_STANDARD.decode(data).unwrap()).unwrap();
    check_client(&pki.files["ca.crt"], &pem).unwrap();
    assert_eq!(certificate_subject(&pem), subject);
}

#[test]
fn the_kubelet_client_belongs_to_the_cluster_authority_alone() {
    let pki = pki();
    let certificate = &pki.files["apiserver-kubelet-client.crt"];
    check_client(&pki.files["ca.crt"], certificate).unwrap();
    assert!(check_client(&pki.files["front-proxy-ca.crt"], certificate).is_err());
}

#[test]
fn the_front_proxy_client_belongs_to_the_front_proxy_authority_alone() {
    let pki = pki();
    let certificate = &pki.files["front-proxy-client.crt"];
    check_client(&pki.files["front-proxy-ca.crt"], certificate).unwrap();
    assert!(check_client(&pki.files["ca.crt"], certificate).is_err());
}

#[test]
fn a_server_is_no_client() {
    let pki = pki();
    assert!(check_client(&pki.files["ca.crt"], &pki.files["apiserver.crt"]).is_err());
}

#[rstest]
#[case::authority("ca.crt", true)]
#[case::front_proxy_authority("front-proxy-ca.crt", true)]
#[case::server("apiserver.crt", false)]
#[case::client("front-proxy-client.crt", false)]
fn key_usage_fits(#[case] file: &str, #[case] is_authority: bool) {
    let pem = pki().files[file].clone();
    let (_, pem) = parse_x509_pem(pem.as_bytes()).unwrap();
    let (_, certificate) = parse_x509_certificate(&pem.contents).unwrap();
    let usage = certificate.key_usage().unwrap().unwrap().value;
    assert!(usage.digital_signature());
    assert_eq!(usage.key_cert_sign(), is_authority);
    assert_eq!(certificate.is_ca(), is_authority);
}

#[rstest]
#[case("ca.key")]
#[case("apiserver.key")]
#[case("apiserver-kubelet-client.key")]
#[case("front-proxy-ca.key")]
#[case("front-proxy-client.key")]
#[case("sa.key")]
fn keys_are_pkcs8(#[case] file: &str) {
    assert!(pki().files[file].starts_with("-----BEGIN PRIVATE KEY-----\n"));
}

#[test]
fn a_certificate_and_its_key_belong_together() {
    let pki = pki();
    for (certificate, key) in [("ca.crt", "ca.key"), ("apiserver.crt", "apiserver.key")] {
        let key = rcgen::KeyPair::from_pem(&pki.files[key]).unwrap();
        let (_, pem) = parse_x509_pem(pki.files[certificate].as_bytes()).unwrap();
        let (_, certificate) = parse_x509_certificate(&pem.contents).unwrap();
        let public = &certificate.public_key().subject_public_key.data;
        assert_eq!(public.as_ref(), key.public_key_raw());
    }
}

#[test]
fn two_clusters_share_nothing() {
    let (one, other) = (pki(), pki());
    for (name, text) in one.files() {
        assert_ne!(text, other.files[name], "{name}");
    }
}

#[test]
fn no_secret_shows_in_debug() {
    let text = format!("{:?}", pki());
    assert!(
        text.contains("ca.key") && !text.contains("PRIVATE"),
        "{text}"
    );
}

#[test]
fn a_clock_at_the_epoch_is_named_as_the_cause() {
    let names = ServerNames {
        cluster: "web",
        namespace: "vc-web",
        domain: "cluster.local",
        service: "10.96.17.1".parse().unwrap(),
        nodes: &[],
    };
    let error = Pki::generate(names, Timestamp::UNIX_EPOCH).unwrap_err();
    assert!(matches!(error, Error::Clock { .. }), "{error}");
}

#[test]
fn it_takes_no_time_to_speak_of() {
    let started = Instant::now();
    for _ in 0..10 {
        pki();
    }
    let each = started.elapsed() / 10;
    assert!(each.as_millis() < 250, "{each:?}");
}

fn certificate_subject(pem: &str) -> String {
    let (_, pem) = parse_x509_pem(pem.as_bytes()).unwrap();
    let (_, certificate) = parse_x509_certificate(&pem.contents).unwrap();
    certificate.subject().to_string()
}
