//! Which build makes which asset, and under which key its result is kept.

use std::{
    fs::File,
    io::BufWriter,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    Error,
    archive::{self, ImageConfig, Part},
    go::GoBuild,
    go_module::{self, GoModule},
    layer::Layer,
    shell, syncer,
};
use crate::{
    asset::{
        Binary, Catalogue, Component,
        recipe::Recipe,
        store::{Key, Store},
    },
    progress::Progress,
    version::KubernetesVersion,
};

/// Makes assets from source, into the store.
#[derive(Debug, Clone)]
pub(crate) struct Builder {
    pub(super) store: Store,
    pub(super) progress: Progress,
    pub(super) catalogue: Arc<Catalogue>,
}

/// A file in the store, and whether it was made just now.
pub(crate) type Made = (PathBuf, bool);

/// What a binary is built from.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Source {
    Go(GoBuild),
    Syncer(syncer::Source),
}

/// Images are made anew when this changes.
const REVISION: &str = "image 1";

impl Builder {
    pub(crate) fn new(store: Store, progress: Progress, catalogue: Arc<Catalogue>) -> Self {
        Self {
            store,
            progress,
            catalogue,
        }
    }

    /// The file of a binary, built if need be.
    ///
    /// # Errors
    /// The build fails.
    pub(crate) async fn binary(
        &self,
        binary: Binary,
        version: KubernetesVersion,
    ) -> Result<Made, Error> {
        let source = self.source(binary, version)?;
        let key = source.key();
        self.store
            .get_or_make(&key, |output| async move {
                let step = self.progress.step(format!("building {}", source.title()));
                source.build(&self.store, &output).await?;
                step.done();
                Ok(())
            })
            .await
    }

    /// The key of a binary.
    ///
    /// # Errors
    /// It cannot be built here.
    pub(crate) fn binary_key(
        &self,
        binary: Binary,
        version: KubernetesVersion,
    ) -> Result<Key, Error> {
        Ok(self.source(binary, version)?.key())
    }

    /// The key of an image; `None` when it cannot be built.
    ///
    /// # Errors
    /// What is in it cannot be built here.
    pub(crate) fn image_key(
        &self,
        component: Component,
        version: KubernetesVersion,
    ) -> Result<Option<Key>, Error> {
        let inside = match component.recipe() {
            Recipe::Program(binary, path) => {
                let key = self.binary_key(binary, version)?;
                format!("{} at {path}", key.digest())
            }
            Recipe::Shell => shell::REVISION.to_owned(),
            Recipe::None => return Ok(None),
        };
        let name = format!(
            "image-{component}-v{}",
            component.version(&self.catalogue, version)
        );
        Ok(Some(Key::new(name, [REVISION, &inside])))
    }

    /// The name of an image that was built: another for another content.
    pub(crate) fn reference(
        &self,
        component: Component,
        version: KubernetesVersion,
        key: &Key,
    ) -> String {
        let version = component.version(&self.catalogue, version);
        format!(
            "localhost/vcluster-test/{component}:v{version}-{}",
            key.short()
        )
    }

    /// The archive of an image, built if need be. `None` when it cannot be built.
    ///
    /// # Errors
    /// The build fails.
    pub(crate) async fn image(
        &self,
        component: Component,
        version: KubernetesVersion,
    ) -> Result<Option<Made>, Error> {
        let Some(key) = self.image_key(component, version)? else {
            return Ok(None);
        };
        let reference = self.reference(component, version, &key);
        let made = self
            .store
            .get_or_make(&key, |output| async {
                let (layer, entrypoint) = self.content(component, version).await?;
                let config = ImageConfig {
                    entrypoint,
                    ..ImageConfig::default()
                };
                let work = self.store.work(&key.to_string())?;
                write_image(work.path(), output, vec![reference], config, layer).await
            })
            .await?;
        Ok(Some(made))
    }

    async fn content(
        &self,
        component: Component,
        version: KubernetesVersion,
    ) -> Result<(Layer, Vec<String>), Error> {
        match component.recipe() {
            Recipe::Program(binary, path) => {
                let (program, _) = self.binary(binary, version).await?;
                Ok((program_layer(path, program), vec![path.to_owned()]))
            }
            Recipe::Shell => {
                let busybox = self.busybox().await?;
                let commands = shell::commands(&busybox).await?;
                Ok((
                    shell::layer(&busybox, &commands),
                    vec!["/bin/sh".to_owned()],
                ))
            }
            Recipe::None => Err(Error::Unexpected {
                what: "a recipe",
                found: format!("{component} has none"),
            }),
        }
    }

    /// Debian's static busybox.
    pub(super) async fn busybox(&self) -> Result<PathBuf, Error> {
        let key = Key::new("busybox", [shell::REVISION, std::env::consts::ARCH]);
        let (path, _) = self
            .store
            .get_or_make(&key, |output| async move {
                let step = self.progress.step("fetching Debian's busybox");
                let work = self.store.work("busybox")?;
                shell::fetch(work.path(), &output).await?;
                step.done();
                Ok::<_, Error>(())
            })
            .await?;
        Ok(path)
    }

    fn source(&self, binary: Binary, version: KubernetesVersion) -> Result<Source, Error> {
        let plain = |module: GoModule, package: &str, title: String| {
            Ok(Source::Go(GoBuild::plain(title, module, package)))
        };
        let pinned = |component: Component| {
            format!("{binary}-v{}", component.version(&self.catalogue, version))
        };
        match binary {
            Binary::Etcd => plain(
                go_module::ETCD,
                "go.etcd.io/etcd/server/v3",
                pinned(Component::Etcd),
            ),
            Binary::Coredns => plain(
                go_module::COREDNS,
                "github.com/coredns/coredns",
                pinned(Component::Coredns),
            ),
            Binary::Kine => plain(
                go_module::KINE,
                "github.com/k3s-io/kine",
                pinned(Component::Kine),
            ),
            Binary::LocalPathProvisioner => plain(
                go_module::LOCAL_PATH_PROVISIONER,
                "github.com/rancher/local-path-provisioner",
                pinned(Component::LocalPathProvisioner),
            ),
            Binary::TestServer => plain(
                go_module::AGNHOST,
                "k8s.io/kubernetes/test/images/agnhost",
                pinned(Component::TestServer),
            ),
            Binary::Pause => plain(go_module::NODE_TOOLS, "./pause", "pause".to_owned()),
            Binary::IptablesWrapper => plain(
                go_module::NODE_TOOLS,
                "./iptables-wrapper",
                "iptables-wrapper".to_owned(),
            ),
            Binary::Syncer => Ok(Source::Syncer(syncer::Source::find()?)),
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
                    buildable: self.buildable(),
                })?;
                Ok(Source::Go(GoBuild::kubernetes(binary, version, module)))
            }
        }
    }

    fn buildable(&self) -> Vec<KubernetesVersion> {
        self.catalogue
            .releases()
            .iter()
            .map(|release| release.version)
            .filter(|version| go_module::kubernetes(*version).is_some())
            .collect()
    }
}

impl Source {
    fn key(&self) -> Key {
        match self {
            Self::Go(build) => build.key(),
            Self::Syncer(source) => source.key(),
        }
    }

    fn title(&self) -> &str {
        match self {
            Self::Go(build) => &build.title,
            Self::Syncer(_) => "the syncer",
        }
    }

    async fn build(&self, store: &Store, output: &Path) -> Result<(), Error> {
        match self {
            Self::Go(build) => build.run(store, output).await,
            Self::Syncer(source) => source.build(store, output).await,
        }
    }
}

/// One static program, and a place for temporary files.
pub(super) fn program_layer(path: &str, program: PathBuf) -> Layer {
    Layer::default()
        .directory("tmp", 0o1777)
        .copy(path, 0o755, program)
}

/// Writes an archive of one image with one layer.
pub(super) async fn write_image(
    scratch: &Path,
    output: PathBuf,
    references: Vec<String>,
    config: ImageConfig,
    layer: Layer,
) -> Result<(), Error> {
    let scratch = scratch.to_owned();
    blocking(move || {
        let error = || Error::io("write", &output);
        let file = File::create(&output).map_err(error())?;
        let parts = [Part::Files(&layer)];
        archive::write(BufWriter::new(file), &scratch, &references, &config, &parts)
            .map_err(error())
    })
    .await
}

/// Copying and hashing has no place on an async thread.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(error) => Err(Error::Run {
                program: "a background task".to_owned(),
                source: std::io::Error::other(error),
            }),
        },
    }
}
