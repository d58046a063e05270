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

/// How often a build starts again because its sources changed under it.
const ATTEMPTS: u32 = 3;

/// An image as its sources are at one moment: they may change while it is being built.
#[derive(Debug)]
pub(crate) struct Plan {
    /// The key of the archive.
    pub(crate) key: Key,
    /// The name of the image: another for another content.
    pub(crate) reference: String,
    recipe: Recipe,
    source: Option<Source>,
}

/// A file in the store, and whether it was made just now.
pub(crate) type Made = (PathBuf, bool);

/// Images are made anew when this changes.
const REVISION: &str = "image 2";

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
        for _ in 1..ATTEMPTS {
            match self.program(&self.source(binary, version)?).await {
                Err(Error::SourcesChanged) => {}
                result => return result,
            }
        }
        self.program(&self.source(binary, version)?).await
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

    /// What an image would be made of now; `None` when it cannot be built.
    ///
    /// # Errors
    /// What is in it cannot be built here.
    pub(crate) fn plan(
        &self,
        component: Component,
        version: KubernetesVersion,
    ) -> Result<Option<Plan>, Error> {
        let recipe = component.recipe();
        let source = match recipe {
            Recipe::Program(binary, _) | Recipe::ProgramWithShell(binary, ..) => {
                Some(self.source(binary, version)?)
            }
            Recipe::Shell => None,
            Recipe::None => return Ok(None),
        };
        let program = source.as_ref().map(Source::key);
        let inputs = [
            REVISION.to_owned(),
            format!("{recipe:?}"),
            shell::REVISION.to_owned(),
            program.map_or_else(String::new, |key| key.digest().to_owned()),
        ];
        let version = component.version(&self.catalogue, version);
        let key = Key::new(format!("image-{component}-v{version}"), inputs);
        let tag = format!("v{version}-{}", key.short());
        Ok(Some(Plan {
            reference: format!("localhost/vcluster-test/{component}:{tag}"),
            key,
            recipe,
            source,
        }))
    }

    /// The archive of an image and the plan it was made by. `None` when it cannot be built.
    ///
    /// # Errors
    /// The build fails.
    pub(crate) async fn image(
        &self,
        component: Component,
        version: KubernetesVersion,
    ) -> Result<Option<(Plan, PathBuf)>, Error> {
        let mut attempt = 1;
        loop {
            let Some(plan) = self.plan(component, version)? else {
                return Ok(None);
            };
            match self.planned(&plan).await {
                Err(Error::SourcesChanged) if attempt < ATTEMPTS => attempt += 1,
                result => return result.map(|(archive, _)| Some((plan, archive))),
            }
        }
    }

    async fn planned(&self, plan: &Plan) -> Result<Made, Error> {
        self.store
            .get_or_make(&plan.key, |output| async {
                let (layer, config) = self.content(plan).await?;
                let work = self.store.work(&plan.key.to_string())?;
                let references = vec![plan.reference.clone()];
                write_image(&work, output, references, config, layer).await
            })
            .await
    }

    async fn content(&self, plan: &Plan) -> Result<(Layer, ImageConfig), Error> {
        let program = match &plan.source {
            Some(source) => self.program(source).await?.0,
            None => PathBuf::new(),
        };
        match plan.recipe {
            Recipe::Program(_, path) => {
                Ok((program_layer(path, program), ImageConfig::entrypoint(path)))
            }
            Recipe::ProgramWithShell(_, path, command) => {
                let layer = self.shell_layer().await?.copy(path, 0o755, program);
                let config = ImageConfig {
                    command: vec![command.to_owned()],
                    ..ImageConfig::entrypoint(path)
                };
                Ok((layer, config))
            }
            Recipe::Shell | Recipe::None => {
                let config = ImageConfig {
                    command: vec!["sh".to_owned()],
                    ..ImageConfig::default()
                };
                Ok((self.shell_layer().await?, config))
            }
        }
    }

    pub(super) async fn program(&self, source: &Source) -> Result<Made, Error> {
        self.store
            .get_or_make(&source.key(), |output| async move {
                source.build(&self.store, &self.progress, &output).await
            })
            .await
    }

    fn source(&self, binary: Binary, version: KubernetesVersion) -> Result<Source, Error> {
        Source::of(binary, &self.catalogue, version)
    }

    /// A shell and the usual commands.
    pub(super) async fn shell_layer(&self) -> Result<Layer, Error> {
        let busybox = self.busybox().await?;
        let commands = shell::commands(&busybox).await?;
        Ok(shell::layer(&busybox, &commands))
    }

    /// The one program behind all of them.
    pub(super) async fn busybox(&self) -> Result<PathBuf, Error> {
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
        Ok(busybox)
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
    write_image_on(None, work, output, references, config, layer).await
}

/// The same on top of a layer that is a tar already.
///
/// # Errors
/// It cannot be written.
pub(super) async fn write_image_on(
    base: Option<PathBuf>,
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
        let base = base.as_deref().map(Part::Tar);
        let parts: Vec<_> = base.into_iter().chain([Part::Files(&layer)]).collect();
        archive::write(BufWriter::new(file), &scratch, &references, &config, &parts)
            .map_err(error())
    })
    .await
}
