//! What there is: images and binaries by name.

use std::fmt;

/// Something that runs as a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Component {
    /// The store of a control plane.
    Etcd,
    /// The API server, of a Kubernetes version.
    KubeApiserver,
    /// The controller manager, of a Kubernetes version.
    KubeControllerManager,
    /// The scheduler, of a Kubernetes version.
    KubeScheduler,
    /// The DNS server.
    Coredns,
    /// etcd's API over `SQLite`, `PostgreSQL` or `MySQL`.
    Kine,
    /// This project's syncer.
    Syncer,
    /// A shell and the usual commands, for test pods.
    Shell,
    /// Kubernetes' `agnhost`: a server with many faces, for test pods.
    TestServer,
    /// Makes persistent volumes out of directories on a node.
    LocalPathProvisioner,
    /// k3s, of a Kubernetes version.
    K3s,
    /// k0s, of a Kubernetes version.
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

    /// The name in file names, image references and messages.
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

    /// Is it another image for another Kubernetes version?
    pub fn is_kubernetes(self) -> bool {
        matches!(
            self,
            Self::KubeApiserver
                | Self::KubeControllerManager
                | Self::KubeScheduler
                | Self::K3s
                | Self::K0s
        )
    }
}

impl fmt::Display for Component {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Something that runs as a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Binary {
    /// The API server.
    KubeApiserver,
    /// The controller manager.
    KubeControllerManager,
    /// The scheduler.
    KubeScheduler,
    /// The service proxy of a node.
    KubeProxy,
    /// The agent of a node.
    Kubelet,
    /// The installer of a node.
    Kubeadm,
    /// The command line client.
    Kubectl,
    /// The store of a control plane.
    Etcd,
    /// The DNS server.
    Coredns,
    /// etcd's API over SQL databases.
    Kine,
    /// Makes persistent volumes out of directories.
    LocalPathProvisioner,
    /// Kubernetes' `agnhost`.
    TestServer,
    /// Does nothing, holds a pod's namespaces.
    Pause,
    /// Chooses the iptables flavour that the node uses.
    IptablesWrapper,
    /// This project's syncer, statically linked.
    Syncer,
}

impl Binary {
    /// The name of the file.
    pub fn name(self) -> &'static str {
        match self {
            Self::KubeApiserver => "kube-apiserver",
            Self::KubeControllerManager => "kube-controller-manager",
            Self::KubeScheduler => "kube-scheduler",
            Self::KubeProxy => "kube-proxy",
            Self::Kubelet => "kubelet",
            Self::Kubeadm => "kubeadm",
            Self::Kubectl => "kubectl",
            Self::Etcd => "etcd",
            Self::Coredns => "coredns",
            Self::Kine => "kine",
            Self::LocalPathProvisioner => "local-path-provisioner",
            Self::TestServer => "test-server",
            Self::Pause => "pause",
            Self::IptablesWrapper => "iptables-wrapper",
            Self::Syncer => "syncer",
        }
    }

    /// Is it another file for another Kubernetes version?
    pub fn is_kubernetes(self) -> bool {
        matches!(
            self,
            Self::KubeApiserver
                | Self::KubeControllerManager
                | Self::KubeScheduler
                | Self::KubeProxy
                | Self::Kubelet
                | Self::Kubeadm
                | Self::Kubectl
        )
    }
}

impl fmt::Display for Binary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
