//! Upstream Kubernetes: a store, kube-apiserver and kube-controller-manager, a container each.

use super::{
    Container, ControlPlane, ControlPlaneContext, Distro, Requests, Scheduling, Volume,
    controllers, egress, scheduler, store,
};
use crate::{
    asset::Component,
    datastore::{Datastore, DatastoreKind},
    version::KubernetesVersion,
};

/// Upstream Kubernetes in its official images.
#[derive(Debug, Clone, Copy)]
pub struct K8s;

impl Distro for K8s {
    fn name(&self) -> &'static str {
        "k8s"
    }

    fn control_plane(
        &self,
        version: KubernetesVersion,
        cx: &ControlPlaneContext<'_>,
    ) -> ControlPlane {
        // The store comes first: an API server that finds none waits a second before it asks again.
        let mut containers = vec![
            store::container(cx.store, cx.replicas),
            apiserver(cx),
            controller_manager(cx),
        ];
        if cx.scheduling == Scheduling::Virtual {
            containers.push(scheduler::container());
        }
        let mut control_plane = ControlPlane::of(containers);
        control_plane.replicas = cx.replicas.count;
        let selection = controllers::selection(version, cx.scheduling);
        control_plane.files.insert(controllers::FILE, selection);
        if let Some(Datastore::External(endpoint)) = cx.store {
            control_plane.keep_in(endpoint, store::KINE);
        }
        control_plane
    }

    fn can_be_several(&self) -> bool {
        true
    }

    fn can_be_dual_stack(&self) -> bool {
        true
    }

    fn stores(&self) -> &'static [DatastoreKind] {
        &[
            DatastoreKind::Etcd,
            DatastoreKind::Kine,
            DatastoreKind::External,
        ]
    }
}

fn apiserver(cx: &ControlPlaneContext<'_>) -> Container {
    let issuer = format!("https://kubernetes.default.svc.{}", cx.domain);
    let mut command = command(
        "kube-apiserver",
        &[
            "--etcd-servers=http://127.0.0.1:2379",
            "--secure-port=6443",
            "--allow-privileged=true",
            "--authorization-mode=Node,RBAC",
            "--enable-admission-plugins=NodeRestriction",
            "--client-ca-file=/pki/ca.crt",
            "--tls-cert-file=/pki/apiserver.crt",
            "--tls-private-key-file=/pki/apiserver.key",
            "--service-account-key-file=/pki/sa.pub",
            "--service-account-signing-key-file=/pki/sa.key",
            "--requestheader-client-ca-file=/pki/front-proxy-ca.crt",
            "--requestheader-allowed-names=front-proxy-client",
            "--requestheader-extra-headers-prefix=X-Remote-Extra-",
            "--requestheader-group-headers=X-Remote-Group",
            "--requestheader-username-headers=X-Remote-User",
            "--proxy-client-cert-file=/pki/front-proxy-client.crt",
            "--proxy-client-key-file=/pki/front-proxy-client.key",
            "--kubelet-certificate-authority=/pki/ca.crt",
            "--kubelet-client-certificate=/pki/apiserver-kubelet-client.crt",
            "--kubelet-client-key=/pki/apiserver-kubelet-client.key",
            "--kubelet-preferred-address-types=InternalIP,ExternalIP,Hostname",
        ],
    );
    command.extend([
        format!("--egress-selector-config-file={}", egress::PATH),
        format!("--service-cluster-ip-range={}", cx.service_ranges),
        format!("--service-account-issuer={issuer}"),
    ]);
    if cx.replicas.are_several() {
        // The syncer says where the API servers are; each of them would say it of itself alone at first.
        command.push("--endpoint-reconciler-type=none".to_owned());
    }
    Container {
        command,
        is_asked: cx.replicas.are_several(),
        mounts: Volume::OF_API_SERVERS.into(),
        ..Container::new(
            "kube-apiserver",
            Component::KubeApiserver,
            Requests {
                cpu_millis: 40,
                memory_mib: 256,
            },
        )
    }
}

fn controller_manager(cx: &ControlPlaneContext<'_>) -> Container {
    let mut command = command(
        "kube-controller-manager",
        &[
            "--service-account-private-key-file=/pki/sa.key",
            "--root-ca-file=/pki/ca.crt",
            "--cluster-signing-cert-file=/pki/ca.crt",
            "--cluster-signing-key-file=/pki/ca.key",
            // Nobody reads its metrics, and a self-signed certificate costs time.
            "--secure-port=0",
        ],
    );
    let settings = controllers::settings(cx.replicas);
    let settings = [(controllers::SETTING, controllers::VALUE)]
        .into_iter()
        .chain(settings);
    command.extend(settings.map(|(name, value)| format!("--{name}={value}")));
    Container {
        command,
        file_environment: controllers::environment(),
        mounts: vec![Volume::Pki.mount()],
        ..Container::new(
            "kube-controller-manager",
            Component::KubeControllerManager,
            Requests {
                cpu_millis: 10,
                memory_mib: 96,
            },
        )
    }
}

pub(super) fn command(program: &str, arguments: &[&str]) -> Vec<String> {
    std::iter::once(&program)
        .chain(arguments)
        .map(|&word| word.to_owned())
        .collect()
}
