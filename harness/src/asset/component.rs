//! What a control plane and its tests are made of, one image each.

use std::fmt;

/// Something that comes as a container image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Component {
    /// The store.
    Etcd,
    /// The API server.
    KubeApiserver,
    /// The controllers.
    KubeControllerManager,
    /// The scheduler.
    KubeScheduler,
    /// The DNS server of a virtual cluster.
    Coredns,
    /// A store that speaks etcd's protocol in front of a database.
    Kine,
    /// Our own syncer.
    Syncer,
    /// A busybox, for pods that only need a shell.
    Shell,
    /// A server that answers what tests ask, like agnhost.
    TestServer,
    /// Makes volumes out of the node's folders.
    LocalPathProvisioner,
    /// A whole control plane in one program.
    K3s,
    /// Another one.
    K0s,
}

impl Component {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::Etcd,
        Self::KubeApiserver,
        Self::KubeControllerManager,
        Self::KubeScheduler,
        Self::Coredns,
        Self::Kine,
        Self::Syncer,
        Self::Shell,
        Self::TestServer,
        Self::LocalPathProvisioner,
        Self::K3s,
        Self::K0s,
    ];

    /// The name in image references, the lock file and messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Etcd => "etcd",
            Self::KubeApiserver => "kube-apiserver",
            Self::KubeControllerManager => "kube-controller-manager",
            Self::KubeScheduler => "kube-scheduler",
            Self::Coredns => "coredns",
            Self::Kine => "kine",
            Self::Syncer => "syncer",
            Self::Shell => "shell",
            Self::TestServer => "test-server",
            Self::LocalPathProvisioner => "local-path-provisioner",
            Self::K3s => "k3s",
            Self::K0s => "k0s",
        }
    }
}

impl fmt::Display for Component {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
