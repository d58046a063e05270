//! The store of upstream Kubernetes, as a container: etcd, or kine in front of a database.

use super::{Container, ControlPlane, OutsideDatabase, Replicas, Requests, Volume, k8s::command};
use crate::{
    asset::Component,
    datastore::{Datastore, Endpoint},
};

/// The container of kine.
pub(super) const KINE: &str = "kine";

/// Where every distro finds the endpoint of a database outside, in [`ControlPlane::secrets`].
pub(super) const ENDPOINT: &str = "datastore-endpoint";

impl ControlPlane {
    /// Keeps its objects in a database outside, to which `container` speaks.
    pub(super) fn keep_in(&mut self, endpoint: &Endpoint, container: &'static str) {
        self.secrets.insert(ENDPOINT, endpoint.for_kine().into());
        self.database = Some(OutsideDatabase::at(endpoint, container));
    }
}

impl OutsideDatabase {
    pub(super) fn at(endpoint: &Endpoint, container: &'static str) -> Self {
        Self {
            container,
            address: endpoint.to_string(),
        }
    }
}

/// It serves etcd's API on 127.0.0.1:2379.
pub(super) fn container(store: Option<&Datastore>, replicas: Replicas<'_>) -> Container {
    match store {
        None | Some(Datastore::Etcd) if replicas.are_several() => member(replicas),
        None | Some(Datastore::Etcd) => etcd(),
        // In write-ahead mode readers do not wait for writers. SQLite keeps what it sorts, and what it may
        // have to take back, in files, and the container may write to its volumes alone.
        Some(Datastore::Kine) => Container {
            environment: [
                (
                    "KINE_ENDPOINT",
                    "sqlite:///data/kine.db?_journal=WAL&cache=shared&_busy_timeout=30000&_txlock=immediate"
                        .to_owned(),
                ),
                ("SQLITE_TMPDIR", Volume::Data.path().to_owned()),
            ]
            .into(),
            ..kine()
        },
        Some(Datastore::External(_)) => Container {
            secret_environment: [("KINE_ENDPOINT", ENDPOINT)].into(),
            ..kine()
        },
    }
}

fn etcd() -> Container {
    let arguments = [
        "--name=etcd",
        "--data-dir=/data/etcd",
        "--listen-client-urls=http://127.0.0.1:2379",
        "--advertise-client-urls=http://127.0.0.1:2379",
        "--listen-peer-urls=http://127.0.0.1:2380",
        "--initial-advertise-peer-urls=http://127.0.0.1:2380",
        "--initial-cluster=etcd=http://127.0.0.1:2380",
        // The data is in memory and ends with the pod.
        "--unsafe-no-fsync",
        // A member alone waits one heartbeat before it elects itself.
        "--heartbeat-interval=20",
        "--election-timeout=200",
        "--log-level=warn",
    ];
    let requests = Requests {
        cpu_millis: 20,
        memory_mib: 48,
    };
    program("etcd", Component::Etcd, &arguments, requests)
}

/// One of several. Only members have certificates of etcd's own authority; what the cluster's authority signs,
/// a tenant can have. Its data is on a volume, so that a pod that is lost comes back as the same member.
fn member(replicas: Replicas<'_>) -> Container {
    let peer = |name: &str| format!("https://{}:2380", replicas.host(name));
    let members: Vec<_> = replicas
        .names()
        .map(|name| format!("{name}={}", peer(&name)))
        .collect();
    let arguments = [
        "--name=$(POD_NAME)",
        "--data-dir=/data/etcd",
        "--listen-client-urls=http://127.0.0.1:2379",
        "--advertise-client-urls=http://127.0.0.1:2379",
        "--listen-peer-urls=https://0.0.0.0:2380",
        &format!("--initial-advertise-peer-urls={}", peer("$(POD_NAME)")),
        &format!("--initial-cluster={}", members.join(",")),
        "--peer-cert-file=/pki/etcd-peer.crt",
        "--peer-key-file=/pki/etcd-peer.key",
        "--peer-trusted-ca-file=/pki/etcd-ca.crt",
        "--peer-client-cert-auth",
        // Its own Service is how a pod is found, and not where it calls from.
        "--peer-skip-client-san-verification",
        // What one member loses with its node, the others have.
        "--unsafe-no-fsync",
        // Members share few processors with everything else: who is late is not gone.
        "--heartbeat-interval=200",
        "--election-timeout=2000",
        "--log-level=warn",
    ];
    let requests = Requests {
        cpu_millis: 20,
        memory_mib: 48,
    };
    Container {
        pod_name: Some("POD_NAME"),
        mounts: vec![Volume::Data.mount(), Volume::Pki.mount()],
        ..program("etcd", Component::Etcd, &arguments, requests)
    }
}

fn kine() -> Container {
    let arguments = [
        "--listen-address=127.0.0.1:2379",
        // The harness reads what it says of its database.
        "--log-format=json",
        // The port would be the syncer's.
        "--metrics-bind-address=0",
    ];
    let requests = Requests {
        cpu_millis: 20,
        memory_mib: 48,
    };
    program(KINE, Component::Kine, &arguments, requests)
}

fn program(
    name: &'static str,
    image: Component,
    arguments: &[&str],
    requests: Requests,
) -> Container {
    Container {
        command: command(name, arguments),
        mounts: vec![Volume::Data.mount()],
        ..Container::new(name, image, requests)
    }
}
