//! What each binary is built from.

use std::path::Path;

use super::{
    Error,
    go::GoBuild,
    go_module::{self, GoModule},
    syncer,
};
use crate::{
    asset::{
        Binary, Catalogue, Component,
        store::{Key, Store},
    },
    progress::Progress,
    version::KubernetesVersion,
};

/// The source of a binary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Source {
    /// A Go module of ours.
    Go(GoBuild),
    /// This workspace, or the package registry.
    Syncer(syncer::Source),
}

impl Source {
    /// The source of a binary of this version.
    ///
    /// # Errors
    /// There is none for the version.
    pub(super) fn of(
        binary: Binary,
        catalogue: &Catalogue,
        version: KubernetesVersion,
    ) -> Result<Self, Error> {
        let pinned = |module: GoModule, component: Component, package: &str| {
            let title = format!("{binary}-v{}", component.version(catalogue, version));
            Self::Go(GoBuild::plain(title, module, package))
        };
        let tool = |package: &str| {
            let title = binary.name().to_owned();
            Self::Go(GoBuild::plain(title, go_module::NODE_TOOLS, package))
        };
        Ok(match binary {
            Binary::Etcd => pinned(
                go_module::ETCD,
                Component::Etcd,
                "go.etcd.io/etcd/server/v3",
            ),
            Binary::Coredns => pinned(
                go_module::COREDNS,
                Component::Coredns,
                "github.com/coredns/coredns",
            ),
            Binary::Kine => pinned(go_module::KINE, Component::Kine, "github.com/k3s-io/kine"),
            Binary::LocalPathProvisioner => pinned(
                go_module::LOCAL_PATH_PROVISIONER,
                Component::LocalPathProvisioner,
                "github.com/rancher/local-path-provisioner",
            ),
            Binary::TestServer => pinned(
                go_module::AGNHOST,
                Component::TestServer,
                "k8s.io/kubernetes/test/images/agnhost",
            ),
            Binary::Pause => tool("./pause"),
            Binary::IptablesWrapper => tool("./iptables-wrapper"),
            Binary::Syncer => Self::Syncer(syncer::Source::find()?),
            Binary::KubeApiserver
            | Binary::KubeControllerManager
            | Binary::KubeScheduler
            | Binary::KubeProxy
            | Binary::Kubelet
            | Binary::Kubeadm
            | Binary::Kubectl => {
                let module = go_module::kubernetes(version).ok_or_else(|| Error::NoModule {
                    binary,
                    version,
                    buildable: buildable(catalogue),
                })?;
                Self::Go(GoBuild::kubernetes(binary, version, module))
            }
        })
    }

    /// The key of what comes out.
    pub(super) fn key(&self) -> Key {
        match self {
            Self::Go(build) => build.key(),
            Self::Syncer(source) => source.key(),
        }
    }

    /// Builds it into `output`.
    ///
    /// # Errors
    /// The compiler is missing or failed.
    pub(super) async fn build(
        &self,
        store: &Store,
        progress: &Progress,
        output: &Path,
    ) -> Result<(), Error> {
        match self {
            Self::Go(build) => build.run(store, progress, output).await,
            Self::Syncer(source) => source.build(store, progress, output).await,
        }
    }
}

fn buildable(catalogue: &Catalogue) -> Vec<KubernetesVersion> {
    catalogue
        .releases()
        .iter()
        .map(|release| release.version)
        .filter(|version| go_module::kubernetes(*version).is_some())
        .collect()
}
