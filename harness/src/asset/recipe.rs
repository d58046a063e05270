//! What each image is: which program, where in the image, under which official name.

use super::{Binary, Catalogue, Component, Error, catalogue::Release};
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

    /// Its official image, when there is one.
    ///
    /// # Errors
    /// The lock file does not have the version.
    pub(crate) fn official(
        self,
        catalogue: &Catalogue,
        version: KubernetesVersion,
    ) -> Result<Option<String>, Error> {
        let release = |pick: fn(&Release) -> Option<String>| {
            catalogue
                .resolve(crate::version::VersionRequest::Exact(version))
                .map(pick)
        };
        match self {
            Self::KubeApiserver | Self::KubeControllerManager | Self::KubeScheduler => {
                release(|release| Some(release.version.to_string())).map(|version| {
                    version.map(|version| format!("registry.k8s.io/{self}:v{version}"))
                })
            }
            Self::K3s => release(|release| release.k3s.clone()),
            Self::K0s => release(|release| release.k0s.clone()),
            _ => Ok(catalogue
                .pinned(self.name())
                .and_then(|pinned| pinned.image.clone())),
        }
    }
}
