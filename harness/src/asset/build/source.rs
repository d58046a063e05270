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
        catalogue::Release,
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
            Binary::Etcd => pinned(go_module::ETCD, Component::Etcd, go_module::ETCD_PACKAGE),
            Binary::Coredns => pinned(
                go_module::COREDNS,
                Component::Coredns,
                go_module::COREDNS_PACKAGE,
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

    /// The source of a binary in a node image, which carries what its kubeadm asks for, and not something
    /// like it.
    ///
    /// # Errors
    /// There is none for the version.
    pub(super) fn on_node(
        binary: Binary,
        catalogue: &Catalogue,
        release: &Release,
    ) -> Result<Self, Error> {
        let (component, wanted) = match binary {
            Binary::Etcd => (Component::Etcd, &release.kubeadm.etcd),
            Binary::Coredns => (Component::Coredns, &release.kubeadm.coredns),
            _ => return Self::of(binary, catalogue, release.version),
        };
        Self::companion(component, wanted).ok_or_else(|| Error::NodeCompanion {
            version: release.version,
            component,
            wanted: wanted.clone(),
            buildable: nodes_buildable(catalogue),
        })
    }

    fn companion(component: Component, version: &str) -> Option<Self> {
        let (module, package) = match component {
            Component::Etcd => (go_module::etcd(version)?, go_module::ETCD_PACKAGE),
            Component::Coredns => (go_module::coredns(version)?, go_module::COREDNS_PACKAGE),
            _ => return None,
        };
        let title = format!("{component}-v{version}");
        Some(Self::Go(GoBuild::plain(title, module, package)))
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

/// The versions of nodes that can be built.
fn nodes_buildable(catalogue: &Catalogue) -> Vec<KubernetesVersion> {
    let has_companions = |release: &&Release| {
        let kubeadm = &release.kubeadm;
        go_module::etcd(&kubeadm.etcd).is_some() && go_module::coredns(&kubeadm.coredns).is_some()
    };
    let releases = catalogue.releases().iter().filter(has_companions);
    releases.map(|release| release.version).collect()
}

fn buildable(catalogue: &Catalogue) -> Vec<KubernetesVersion> {
    catalogue
        .releases()
        .iter()
        .map(|release| release.version)
        .filter(|version| go_module::kubernetes(*version).is_some())
        .collect()
}
