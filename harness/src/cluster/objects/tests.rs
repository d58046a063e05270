use std::net::IpAddr;

use k8s_openapi::api::core::v1::Namespace;
use vcluster_syncer::config::SyncConfig;

use super::*;
use crate::{
    asset::Component,
    cluster::names::{CONTROL_PLANE, Names},
    distro::{self, ControlPlane, ControlPlaneContext, Distro as _},
    owner::Owner,
    pki::{Access as Credentials, Pki, ServerNames},
};

fn names() -> Names {
    Names::new("web", "vc-web").unwrap()
}

fn address(last: u8) -> IpAddr {
    IpAddr::from([10, 96, 17, last])
}

fn sync() -> SyncConfig {
    SyncConfig::new("web", "vc-web", address(1), address(10))
}

fn control_plane() -> ControlPlane {
    let names = names();
    let cx = ControlPlaneContext::of(names.replicas(1));
    distro::DEFAULT.control_plane("1.34.2".parse().unwrap(), &cx)
}

fn several() -> ControlPlane {
    let names = names();
    let cx = ControlPlaneContext::of(names.replicas(3));
    distro::K8s.control_plane("1.34.2".parse().unwrap(), &cx)
}

fn images() -> Images {
    Component::ALL
        .into_iter()
        .map(|component| (component, format!("images.test/{component}:v1")))
        .collect()
}

fn made_namespace() -> Namespace {
    let version = "1.34.2".parse().unwrap();
    let mut namespace = namespace(&names(), "k8s", version, &Owner::standing(), None);
    namespace.metadata.uid = Some("1234".to_owned());
    namespace
}

fn pki() -> Pki {
    let names = ServerNames {
        cluster: "web",
        namespace: "vc-web",
        domain: "cluster.local",
        service: address(1),
        nodes: &[],
    };
    Pki::generate(names, jiff::Timestamp::now()).unwrap()
}

#[test]
fn the_control_plane_is_as_recorded() {
    insta::assert_yaml_snapshot!(stateful_set(&names(), &control_plane(), &images()));
}

#[test]
fn several_pods_are_as_recorded() {
    insta::assert_yaml_snapshot!((
        stateful_set(&names(), &several(), &images()),
        member_services(&names(), 3),
    ));
}

#[test]
fn one_pod_needs_no_service_for_others() {
    assert_eq!(member_services(&names(), 1), []);
}

#[test]
fn a_container_that_must_be_root_is_no_more_than_it_needs() {
    let names = names();
    let cx = ControlPlaneContext::of(names.replicas(1));
    let k0s = distro::K0s.control_plane("1.34.2".parse().unwrap(), &cx);
    let set = stateful_set(&names, &k0s, &images());
    let pod = set.spec.unwrap().template.spec.unwrap();
    assert_eq!(pod.security_context.unwrap().run_as_user, Some(65532));
    let security: Vec<_> = pod
        .containers
        .into_iter()
        .map(|container| (container.name, container.security_context.unwrap()))
        .collect();
    let [(_, root), (_, syncer)] = &security[..] else {
        panic!("k0s and the syncer, not {security:?}");
    };
    assert_eq!(
        (root.run_as_user, root.run_as_non_root),
        (Some(0), Some(false))
    );
    let capabilities = root.capabilities.clone().unwrap();
    assert_eq!(capabilities.drop, Some(vec!["ALL".to_owned()]));
    assert_eq!(capabilities.add.map(|kept| kept.len()), Some(6));
    assert_eq!(root.allow_privilege_escalation, Some(false));
    assert_eq!(
        (syncer.run_as_user, syncer.read_only_root_filesystem),
        (None, Some(true))
    );
}

#[test]
fn the_rights_are_as_recorded() {
    let access = access(&names(), &made_namespace(), &sync());
    insta::assert_yaml_snapshot!((
        access.accounts,
        access.role,
        access.role_binding,
        access.cluster_role,
        access.cluster_role_binding
    ));
}

#[test]
fn the_service_is_as_recorded() {
    insta::assert_yaml_snapshot!(service(
        &names(),
        &[address(1)],
        Exposure::NodePort,
        6443,
        1
    ));
}

#[test]
fn a_service_of_two_families_claims_both_addresses() {
    let second: IpAddr = "fd00:10:96::1701".parse().unwrap();
    let addresses = [address(1), second];
    let spec = service(&names(), &addresses, Exposure::ClusterIp, 6443, 1).spec;
    let spec = spec.unwrap();
    assert_eq!(spec.cluster_ip.unwrap(), "10.96.17.1");
    assert_eq!(
        spec.cluster_ips.unwrap(),
        ["10.96.17.1", "fd00:10:96::1701"]
    );
    assert_eq!(spec.ip_family_policy.unwrap(), "RequireDualStack");
}

#[test]
fn the_configuration_is_as_recorded() {
    insta::assert_yaml_snapshot!(config_map(&names(), &control_plane(), &sync()).unwrap());
}

#[test]
fn the_service_selects_the_pod() {
    let service = service(&names(), &[], Exposure::ClusterIp, 6443, 1);
    let selector = service.spec.unwrap().selector.unwrap();
    let set = stateful_set(&names(), &control_plane(), &images())
        .spec
        .unwrap();
    let labels = set.template.metadata.unwrap().labels.unwrap();
    assert!(
        selector
            .iter()
            .all(|(key, value)| labels.get(key) == Some(value))
    );
    assert!(selector.contains_key(CONTROL_PLANE));
}

#[test]
fn every_mount_has_its_volume() {
    let set = stateful_set(&names(), &control_plane(), &images())
        .spec
        .unwrap();
    let pod = set.template.spec.unwrap();
    let volumes: Vec<_> = pod.volumes.unwrap().into_iter().map(|v| v.name).collect();
    for container in pod.containers {
        for mount in container.volume_mounts.unwrap() {
            assert!(
                volumes.contains(&mount.name),
                "{}: {}",
                container.name,
                mount.name
            );
        }
    }
}

/// Of k0s it is in a volume that the syncer sees anyway.
#[test]
fn the_syncer_sees_the_socket_of_a_store() {
    let names = names();
    let cx = ControlPlaneContext::of(names.replicas(1));
    for (distro, path) in [
        (&distro::K3s as &dyn distro::Distro, "/data"),
        (&distro::K0s, "/run/vcluster"),
    ] {
        let described = distro.control_plane("1.34.2".parse().unwrap(), &cx);
        let set = stateful_set(&names, &described, &images()).spec.unwrap();
        let mut containers = set.template.spec.unwrap().containers;
        let syncer = containers.pop().unwrap();
        let endpoint = syncer.env.unwrap().pop().unwrap().value.unwrap();
        assert!(endpoint.starts_with(&format!("unix:{path}/")), "{endpoint}");
        let mounts = syncer.volume_mounts.unwrap().into_iter();
        let paths: Vec<_> = mounts.map(|mount| mount.mount_path).collect();
        let seen = paths.iter().filter(|seen| *seen == path);
        assert_eq!(seen.count(), 1, "{paths:?}");
    }
}

#[test]
fn only_the_syncer_gets_at_the_host() {
    let set = stateful_set(&names(), &control_plane(), &images())
        .spec
        .unwrap();
    let pod = set.template.spec.unwrap();
    assert_eq!(pod.automount_service_account_token, Some(false));
    let with_token: Vec<_> = pod
        .containers
        .iter()
        .filter(|container| {
            let mounts = container.volume_mounts.iter().flatten();
            mounts.into_iter().any(|mount| mount.name == "host-access")
        })
        .map(|container| container.name.as_str())
        .collect();
    assert_eq!(with_token, ["syncer"]);
}

#[test]
fn the_pki_secret_holds_every_file() {
    let pki = pki();
    let secret = pki_secret(&names(), &pki);
    let data = secret.data.unwrap();
    assert_eq!(data.len(), pki.files().count());
    for (name, text) in pki.files() {
        assert_eq!(data[name].0, text.as_bytes());
    }
}

#[test]
fn the_kubeconfig_secret_lets_somebody_in() {
    let secret = kubeconfig_secret(&names(), &pki()).unwrap();
    Credentials::from_secret(&secret).unwrap();
    let text = &secret.data.unwrap()["config"].0;
    let kubeconfig: kube::config::Kubeconfig = serde_yaml_ng::from_slice(text).unwrap();
    let cluster = kubeconfig.clusters[0].cluster.as_ref().unwrap();
    assert_eq!(cluster.server.as_deref(), Some("https://web.vc-web.svc"));
}

#[test]
fn the_dns_service_is_the_twin_of_the_tenants() {
    let service = dns_service(&names());
    assert_eq!(
        service.metadata.name.as_deref(),
        Some("kube-dns-x-kube-system-x-web")
    );
}
