//! The images that lie in a node image, under the names that kubeadm and the manifests use.

use std::path::{Path, PathBuf};

use super::{
    Builder, Error,
    archive::ImageConfig,
    blocking::blocking,
    builder::{program_layer, write_image},
    kube_proxy,
    layer::Layer,
    source::Source,
};
use crate::asset::{Binary, Component, catalogue::Release, store::Work};

/// An image for a node.
#[derive(Debug)]
pub(super) struct Preload {
    reference: String,
    layer: Layer,
    config: ImageConfig,
}

impl Builder {
    /// The images of a node; their programs are built if need be.
    ///
    /// # Errors
    /// A build fails.
    pub(super) async fn preloads(
        &self,
        tree: &Path,
        release: &Release,
    ) -> Result<Vec<Preload>, Error> {
        let version = release.version;
        let kubeadm = &release.kubeadm;
        let official = |name: &str, tag: &str| format!("registry.k8s.io/{name}:{tag}");
        let kubernetes = |binary: Binary| {
            let path = format!("/usr/local/bin/{binary}");
            (
                binary,
                official(binary.name(), &format!("v{version}")),
                path,
            )
        };
        let provisioner = Component::LocalPathProvisioner.version(&self.catalogue, version);
        let programs = [
            kubernetes(Binary::KubeApiserver),
            kubernetes(Binary::KubeControllerManager),
            kubernetes(Binary::KubeScheduler),
            (
                Binary::Etcd,
                official("etcd", &format!("{}-0", kubeadm.etcd)),
                "/usr/local/bin/etcd".to_owned(),
            ),
            (
                Binary::Coredns,
                official("coredns/coredns", &format!("v{}", kubeadm.coredns)),
                "/coredns".to_owned(),
            ),
            (
                Binary::Pause,
                official("pause", &kubeadm.pause),
                "/pause".to_owned(),
            ),
            (
                Binary::LocalPathProvisioner,
                format!("localhost/vcluster-test/local-path-provisioner:v{provisioner}"),
                "/usr/local/bin/local-path-provisioner".to_owned(),
            ),
        ];
        let mut preloads = Vec::new();
        for (binary, reference, path) in programs {
            let source = Source::on_node(binary, &self.catalogue, release)?;
            let (program, _) = self.program(&source).await?;
            preloads.push(Preload {
                reference,
                layer: program_layer(&path, program),
                config: ImageConfig::entrypoint(&path),
            });
        }
        preloads.push(Preload {
            reference: official("kube-proxy", &format!("v{version}")),
            layer: self.kube_proxy(tree, release).await?,
            config: ImageConfig::default(),
        });
        let helper = Component::Shell.version(&self.catalogue, version);
        preloads.push(Preload {
            reference: format!("localhost/vcluster-test/local-path-helper:v{helper}"),
            layer: self.shell_layer().await?,
            config: ImageConfig::default(),
        });
        Ok(preloads)
    }

    async fn kube_proxy(&self, tree: &Path, release: &Release) -> Result<Layer, Error> {
        let (proxy, _) = self.binary(Binary::KubeProxy, release.version).await?;
        let (wrapper, _) = self
            .binary(Binary::IptablesWrapper, release.version)
            .await?;
        let tree = tree.to_owned();
        blocking(move || kube_proxy::layer(&tree, proxy, wrapper)).await
    }
}

impl Preload {
    /// Writes its archive into `work`.
    ///
    /// # Errors
    /// It cannot be written.
    pub(super) async fn write(self, work: &Work, number: usize) -> Result<PathBuf, Error> {
        let archive = work.path().join(format!("{number:02}.tar"));
        let names = vec![self.reference];
        write_image(work, archive.clone(), names, self.config, self.layer).await?;
        Ok(archive)
    }
}
