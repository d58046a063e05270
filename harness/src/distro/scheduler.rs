//! Upstream's scheduler, for clusters that bind their pods themselves.

use std::collections::BTreeMap;

use super::{Container, Privileges, Requests, Volume, k8s::command};
use crate::asset::Component;

/// Binds the tenant's pods by what the tenant's cluster says of its nodes.
pub(super) fn container() -> Container {
    Container {
        name: "kube-scheduler",
        image: Component::KubeScheduler,
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
        environment: BTreeMap::new(),
        file_environment: BTreeMap::new(),
        secret_environment: BTreeMap::new(),
        pod_name: None,
        is_asked: false,
        mounts: vec![Volume::Pki.mount()],
        privileges: Privileges::NONE,
        requests: Requests {
            cpu_millis: 10,
            memory_mib: 48,
        },
    }
}
