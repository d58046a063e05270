//! k3s: a control plane in one program, here without its agent, its add-ons and its tunnel.

use std::collections::BTreeMap;

use super::{
    Container, ControlPlane, ControlPlaneContext, Distro, Privileges, Requests, Scheduling,
    StoreAccess, Volume, controllers, egress, store,
};
use crate::{
    asset::Component,
    datastore::{Datastore, DatastoreKind},
    version::KubernetesVersion,
};

/// Rancher's k3s in its official image, with kine and `SQLite` unless told otherwise.
///
/// A cluster of it differs from upstream's in its own custom resources (`addons.k3s.cattle.io` and
/// `etcdsnapshotfiles.k3s.cattle.io`), in its rejecting anonymous requests even for health, and in
/// the Secret `k3s-serving` in `kube-system`.
#[derive(Debug, Clone, Copy)]
pub struct K3s;

/// Puts the authorities where k3s looks for them before it makes its own, and runs k3s as a child: as
/// process 1 it rearranges the control groups. What follows the last `&&` keeps the shell from making
/// way for it.
///
/// All authorities but the one of aggregated APIs are one, as in the rest of this project. Those of
/// etcd are asked for although there is no etcd. The file of the signing key carries the public key,
/// too: the API server verifies with that same file, and reads no public key out of ours, which are
/// PKCS #8.
const SCRIPT: &str = r#"set -eu
umask 077
tls=/data/server/tls
mkdir -p "$tls/etcd"
for authority in server-ca client-ca etcd/server-ca etcd/peer-ca; do
  cat /pki/ca.crt > "$tls/$authority.crt"
  cat /pki/ca.key > "$tls/$authority.key"
done
cat /pki/front-proxy-ca.crt > "$tls/request-header-ca.crt"
cat /pki/front-proxy-ca.key > "$tls/request-header-ca.key"
cat /pki/sa.key /pki/sa.pub > "$tls/service.key"
k3s "$@" && true
"#;

const FLAGS: &[&str] = &[
    "--disable-agent",
    "--disable=coredns,local-storage,metrics-server,runtimes,servicelb,traefik",
    "--disable-cloud-controller",
    "--disable-helm-controller",
    "--disable-kube-proxy",
    "--disable-network-policy",
    "--flannel-backend=none",
    // Then k3s leaves the choice of a way out to us.
    "--egress-selector-mode=disabled",
    "--data-dir=/data",
    "--write-kubeconfig=/data/kubeconfig.yaml",
    "--https-listen-port=6443",
    // The syncer says where the API server is, for all distros alike.
    "--kube-apiserver-arg=endpoint-reconciler-type=none",
];

/// One member, which is told by no other how to start.
const OWN_ETCD: [&str; 2] = ["--cluster-init", "--etcd-disable-snapshots"];

impl Distro for K3s {
    fn name(&self) -> &'static str {
        "k3s"
    }

    fn control_plane(
        &self,
        version: KubernetesVersion,
        cx: &ControlPlaneContext<'_>,
    ) -> ControlPlane {
        let mut control_plane = ControlPlane::of(vec![server(cx)]);
        control_plane.store = Some(match cx.store {
            Some(Datastore::Etcd) => StoreAccess::SecurePort,
            // Its kine listens there whatever is behind it.
            _ => StoreAccess::Socket(Volume::Data, "server/kine.sock"),
        });
        let selection = controllers::selection(version, cx.scheduling);
        control_plane.files.insert(controllers::FILE, selection);
        if let Some(Datastore::External(endpoint)) = cx.store {
            control_plane.keep_in(endpoint, NAME);
        }
        control_plane
    }

    fn stores(&self) -> &'static [DatastoreKind] {
        &[
            DatastoreKind::Kine,
            DatastoreKind::Etcd,
            DatastoreKind::External,
        ]
    }
}

/// Its container.
const NAME: &str = "k3s";

fn server(cx: &ControlPlaneContext<'_>) -> Container {
    let mut command: Vec<_> = ["/bin/sh", "-c", SCRIPT, "k3s", "server"]
        .iter()
        .chain(FLAGS)
        .map(|&word| word.to_owned())
        .collect();
    command.extend([
        format!("--service-cidr={}", cx.service_ranges),
        format!("--cluster-domain={}", cx.domain),
        format!(
            "--kube-apiserver-arg=egress-selector-config-file={}",
            egress::PATH
        ),
    ]);
    if cx.scheduling == Scheduling::Host {
        command.push("--disable-scheduler".to_owned());
    }
    let mut secret_environment = BTreeMap::new();
    match cx.store {
        None | Some(Datastore::Kine) => {}
        Some(Datastore::Etcd) => command.extend(OWN_ETCD.map(str::to_owned)),
        Some(Datastore::External(_)) => {
            secret_environment.insert("K3S_DATASTORE_ENDPOINT", store::ENDPOINT);
        }
    }
    let settings = controllers::settings(cx.replicas);
    let settings = [(controllers::SETTING, controllers::VALUE)]
        .into_iter()
        .chain(settings);
    command.extend(
        settings.map(|(name, value)| format!("--kube-controller-manager-arg={name}={value}")),
    );
    command.extend(cx.names.iter().map(|name| format!("--tls-san={name}")));
    Container {
        command,
        file_environment: controllers::environment(),
        secret_environment,
        mounts: [&Volume::OF_API_SERVERS[..], &[Volume::Data.mount()]].concat(),
        // Without an agent k3s does not ask to be root.
        privileges: Privileges {
            writable_files: true,
            ..Privileges::NONE
        },
        ..Container::new(
            NAME,
            Component::K3s,
            Requests {
                cpu_millis: 70,
                memory_mib: 400,
            },
        )
    }
}
