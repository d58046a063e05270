//! Upstream's scheduler, for clusters that bind their pods themselves.

use super::{Container, Requests, Volume, k8s::command};
use crate::asset::Component;

/// Binds the tenant's pods by what the tenant's cluster says of its nodes.
pub(super) fn container() -> Container {
    Container {
        command: command(
            "kube-scheduler",
            &[
                "--kubeconfig=/pki/scheduler.conf",
                "--leader-elect=false",
                // Nobody reads its metrics, and a self-signed certificate costs time.
                "--secure-port=0",
                "--kube-api-qps=200",
                "--kube-api-burst=400",
            ],
        ),
        mounts: vec![Volume::Pki.mount()],
        ..Container::new(
            "kube-scheduler",
            Component::KubeScheduler,
            Requests {
                cpu_millis: 10,
                memory_mib: 48,
            },
        )
    }
}
