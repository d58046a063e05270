//! What each image is: which program, where in the image, under which official name.

use super::{Binary, Catalogue, Component};
use crate::version::KubernetesVersion;

/// How an image is made from source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Recipe {
    /// One static program at this path.
    Program(Binary, &'static str),
    /// The same beside a shell, with an argument for when the pod names none.
    ProgramWithShell(Binary, &'static str, &'static str),
    /// Debian's busybox with its commands.
    Shell,
    /// It is not on any package registry.
    None,
}

impl Component {
    /// How it is made from source.
    pub(crate) fn recipe(self) -> Recipe {
        match self {
            Self::Etcd => Recipe::Program(Binary::Etcd, "/usr/local/bin/etcd"),
            Self::KubeApiserver => {
                Recipe::Program(Binary::KubeApiserver, "/usr/local/bin/kube-apiserver")
            }
            Self::KubeControllerManager => Recipe::Program(
                Binary::KubeControllerManager,
                "/usr/local/bin/kube-controller-manager",
            ),
            Self::KubeScheduler => {
                Recipe::Program(Binary::KubeScheduler, "/usr/local/bin/kube-scheduler")
            }
            Self::Coredns => Recipe::Program(Binary::Coredns, "/coredns"),
            Self::Kine => Recipe::Program(Binary::Kine, "/usr/local/bin/kine"),
            Self::Syncer => Recipe::Program(Binary::Syncer, "/usr/local/bin/vcluster-syncer"),
            Self::TestServer => Recipe::ProgramWithShell(Binary::TestServer, "/agnhost", "pause"),
            Self::LocalPathProvisioner => Recipe::Program(
                Binary::LocalPathProvisioner,
                "/usr/local/bin/local-path-provisioner",
            ),
            Self::Shell => Recipe::Shell,
            Self::K3s | Self::K0s => Recipe::None,
        }
    }

    /// Its version, without a leading `v`, for a cluster of this Kubernetes version.
    pub(crate) fn version(self, catalogue: &Catalogue, version: KubernetesVersion) -> String {
        match self {
            Self::Syncer => env!("CARGO_PKG_VERSION").to_owned(),
            _ => catalogue
                .pinned(self.name())
                .map_or_else(|| version.to_string(), |pinned| pinned.version.clone()),
        }
    }

    /// Its official image, when there is one. Of a version that is not in the lock file it is the one
    /// with the usual name.
    pub(crate) fn official(
        self,
        catalogue: &Catalogue,
        version: KubernetesVersion,
    ) -> Option<String> {
        let release = catalogue.release(version);
        match self {
            Self::KubeApiserver | Self::KubeControllerManager | Self::KubeScheduler => {
                Some(format!("registry.k8s.io/{self}:v{version}"))
            }
            Self::K3s => release.map_or_else(
                || Some(format!("rancher/k3s:v{version}-k3s1")),
                |release| release.k3s.clone(),
            ),
            Self::K0s => release.map_or_else(
                || Some(format!("k0sproject/k0s:v{version}-k0s.0")),
                |release| release.k0s.clone(),
            ),
            _ => catalogue
                .pinned(self.name())
                .and_then(|pinned| pinned.image.clone()),
        }
    }
}
