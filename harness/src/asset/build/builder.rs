//! Making assets from source, into the store.

use std::{fs::File, io::BufWriter, path::PathBuf, sync::Arc};

use super::{
    Error,
    archive::{self, ImageConfig, Part},
    blocking::blocking,
    layer::Layer,
    shell,
    source::Source,
};
use crate::{
    asset::{
        Binary, Catalogue, Component,
        recipe::Recipe,
        store::{Key, Store, Work},
    },
    progress::Progress,
    version::KubernetesVersion,
};

/// Knows which build makes which asset, and under which key the result is kept.
#[derive(Debug, Clone)]
pub(crate) struct Builder {
    pub(super) store: Store,
    pub(super) progress: Progress,
    pub(super) catalogue: Arc<Catalogue>,
}

/// A file in the store, and whether it was made just now.
pub(crate) type Made = (PathBuf, bool);

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
        let source = Source::of(binary, &self.catalogue, version)?;
        self.store
            .get_or_make(&source.key(), |output| async move {
                source.build(&self.store, &self.progress, &output).await
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
        Ok(Source::of(binary, &self.catalogue, version)?.key())
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
        let program = |binary: Binary| self.binary_key(binary, version);
        let inside = match component.recipe() {
            Recipe::Program(binary, path) => format!("{} at {path}", program(binary)?.digest()),
            Recipe::ProgramWithShell(binary, path, command) => {
                let digest = program(binary)?.digest().to_owned();
                format!("{digest} at {path} {command}, {}", shell::REVISION)
            }
            Recipe::Shell => shell::REVISION.to_owned(),
            Recipe::None => return Ok(None),
        };
        let version = component.version(&self.catalogue, version);
        let name = format!("image-{component}-v{version}");
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
                let (layer, config) = self.content(component, version).await?;
                let work = self.store.work(&key.to_string())?;
                write_image(&work, output, vec![reference], config, layer).await
            })
            .await?;
        Ok(Some(made))
    }

    async fn content(
        &self,
        component: Component,
        version: KubernetesVersion,
    ) -> Result<(Layer, ImageConfig), Error> {
        match component.recipe() {
            Recipe::Program(binary, path) => {
                let (program, _) = self.binary(binary, version).await?;
                Ok((program_layer(path, program), ImageConfig::entrypoint(path)))
            }
            Recipe::ProgramWithShell(binary, path, command) => {
                let (program, _) = self.binary(binary, version).await?;
                let layer = self.shell_layer().await?.copy(path, 0o755, program);
                let config = ImageConfig {
                    command: vec![command.to_owned()],
                    ..ImageConfig::entrypoint(path)
                };
                Ok((layer, config))
            }
            Recipe::Shell => {
                let config = ImageConfig {
                    command: vec!["sh".to_owned()],
                    ..ImageConfig::default()
                };
                Ok((self.shell_layer().await?, config))
            }
            Recipe::None => Err(Error::Unexpected {
                what: "a recipe",
                found: format!("{component} has none"),
            }),
        }
    }

    /// A shell and the usual commands.
    pub(super) async fn shell_layer(&self) -> Result<Layer, Error> {
        let key = Key::new("busybox", [shell::REVISION, std::env::consts::ARCH]);
        let (busybox, _) = self
            .store
            .get_or_make(&key, |output| async {
                let step = self.progress.step("fetching Debian's busybox");
                let work = self.store.work(&key.to_string())?;
                shell::fetch(work.path(), output).await?;
                step.done();
                Ok::<_, Error>(())
            })
            .await?;
        let commands = shell::commands(&busybox).await?;
        Ok(shell::layer(&busybox, &commands))
    }
}

/// One static program, and a place for temporary files.
pub(super) fn program_layer(path: &str, program: PathBuf) -> Layer {
    Layer::default()
        .directory("tmp", 0o1777)
        .copy(path, 0o755, program)
}

/// Writes an archive of one image with one layer.
///
/// # Errors
/// It cannot be written.
pub(super) async fn write_image(
    work: &Work,
    output: PathBuf,
    references: Vec<String>,
    config: ImageConfig,
    layer: Layer,
) -> Result<(), Error> {
    let scratch = work.path().to_owned();
    blocking(move || {
        let error = || Error::io("write", &output);
        let file = File::create(&output).map_err(error())?;
        let parts = [Part::Files(&layer)];
        archive::write(BufWriter::new(file), &scratch, &references, &config, &parts)
            .map_err(error())
    })
    .await
}
