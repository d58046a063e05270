//! The way to every asset: the sources, one after the other.

use std::{path::PathBuf, sync::Arc};

use tokio::sync::OnceCell;

use super::{
    Binary, Catalogue, Component, Error, Image, NodeImage, Origin,
    build::Builder,
    directory,
    engine::Engine,
    registry::{self, Answer},
    store::Store,
};
use crate::{
    progress::Progress,
    settings::Settings,
    version::{KubernetesVersion, VersionRequest},
};

/// Images and binaries by version. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Assets {
    catalogue: Arc<Catalogue>,
    directory: Option<PathBuf>,
    mirror: Option<String>,
    offline: bool,
    syncer_image: Option<String>,
    builder: Builder,
    store: Store,
    pub(super) progress: Progress,
    engine: Arc<OnceCell<Engine>>,
}

/// An asset and what is known of it without making it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Described {
    /// The asset, such as `image kube-apiserver 1.34.2`.
    pub name: String,
    /// The source that has it now; `None` when it would have to be pulled or built.
    pub origin: Option<Origin>,
    /// Its size on the local disk, in bytes.
    pub size: Option<u64>,
    /// How long it took to make here, in seconds.
    pub seconds: Option<u64>,
}

impl Assets {
    /// Assets as the settings say. Nothing is looked at yet.
    pub fn new(settings: &Settings, progress: Progress) -> Self {
        let store = Store::new(&settings.cache, progress.clone());
        let catalogue = Arc::new(Catalogue::embedded());
        Self {
            builder: Builder::new(store.clone(), progress.clone(), catalogue.clone()),
            catalogue,
            directory: settings.assets.clone(),
            mirror: settings.mirror.clone(),
            offline: settings.offline,
            syncer_image: settings.syncer_image.clone(),
            store,
            progress,
            engine: Arc::default(),
        }
    }

    /// The versions there are.
    pub fn catalogue(&self) -> &Catalogue {
        &self.catalogue
    }

    /// The version that a request means.
    ///
    /// # Errors
    /// The lock file does not have it; the error names the near ones.
    #[expect(
        clippy::unused_async,
        reason = "a lock file may come from elsewhere one day"
    )]
    pub async fn resolve(&self, request: VersionRequest) -> Result<KubernetesVersion, Error> {
        Ok(self.catalogue.resolve(request)?.version)
    }

    /// An image, from the first source that has it. The version means nothing to components that are
    /// not of a Kubernetes version.
    ///
    /// # Errors
    /// No source has it; the error says why each did not help.
    pub async fn image(
        &self,
        component: Component,
        version: KubernetesVersion,
    ) -> Result<Image, Error> {
        if let (Component::Syncer, Some(reference)) = (component, &self.syncer_image) {
            return self.named_syncer(reference).await;
        }
        let official = component.official(&self.catalogue, version)?;
        let named = component.version(&self.catalogue, version);
        let mut search = Search::new(format!("the image {component} {named}"));

        match &self.directory {
            None => search.no("directory", "VCLUSTER_TEST_ASSETS is not set"),
            Some(directory) => match directory::image(directory, component.name(), &named) {
                Some(archive) => {
                    return Ok(Image {
                        reference: directory::reference(&archive)?,
                        archive: Some(archive),
                        origin: Origin::Directory,
                    });
                }
                None => search.no("directory", "not in it"),
            },
        }
        match self.builder.image_key(component, version) {
            Ok(Some(key)) => {
                if let Some(archive) = self.store.find(&key).await? {
                    return Ok(Image {
                        reference: self.builder.reference(component, version, &key),
                        archive: Some(archive),
                        origin: Origin::Cache,
                    });
                }
                search.no("cache", "not in it");
            }
            Ok(None) => search.no("cache", "holds only what is built from source"),
            Err(error) => search.no("cache", error.to_string()),
        }
        if let Some((reference, origin)) = self.engine_or_registry(official, &mut search).await? {
            return Ok(Image {
                reference,
                archive: None,
                origin,
            });
        }
        if self.offline {
            return Err(search.failed(None));
        }
        match self.builder.image(component, version).await {
            Ok(Some((archive, _))) => {
                let key = self.builder.image_key(component, version)?;
                let reference = key.map(|key| self.builder.reference(component, version, &key));
                Ok(Image {
                    reference: reference.unwrap_or_default(),
                    archive: Some(archive),
                    origin: Origin::Built,
                })
            }
            Ok(None) => {
                search.no("build from source", "its source is on no package registry");
                Err(search.failed(None))
            }
            Err(error) => {
                search.no("build from source", "failed");
                Err(search.failed(Some(error.into())))
            }
        }
    }

    /// A kind node image; the container engine has it afterwards.
    ///
    /// # Errors
    /// No source has it, or there is no container engine.
    pub async fn node_image(&self, version: KubernetesVersion) -> Result<NodeImage, Error> {
        let release = self.catalogue.resolve(VersionRequest::Exact(version))?;
        let engine = self.engine().await?;
        let mut search = Search::new(format!("a kind node image of Kubernetes {version}"));
        let present = |reference: String, id: String, origin: Origin| NodeImage {
            reference,
            id,
            origin,
        };

        match &self.directory {
            None => search.no("directory", "VCLUSTER_TEST_ASSETS is not set"),
            Some(directory) => match directory::image(directory, "node", &version.to_string()) {
                Some(archive) => {
                    let reference = directory::reference(&archive)?;
                    let id = self.loaded(&engine, &archive, &reference).await?;
                    return Ok(present(reference, id, Origin::Directory));
                }
                None => search.no("directory", "not in it"),
            },
        }
        match self.builder.node_key(release) {
            Ok(key) => {
                let reference = self.builder.node_reference(version, &key);
                if let Some(id) = engine.image_id(&reference).await? {
                    return Ok(present(reference, id, Origin::Engine));
                }
                if let Some(archive) = self.store.find(&key).await? {
                    let id = self.loaded(&engine, &archive, &reference).await?;
                    return Ok(present(reference, id, Origin::Cache));
                }
                search.no("cache", "not in it");
            }
            Err(error) => search.no("cache", error.to_string()),
        }
        let official = release.node_image.clone();
        if let Some((reference, origin)) = self
            .engine_or_registry(official.clone(), &mut search)
            .await?
        {
            let id = engine.image_id(&reference).await?.unwrap_or_default();
            return Ok(present(reference, id, origin));
        }
        if self.offline {
            return Err(search.failed(None));
        }
        let official = official.unwrap_or_else(|| format!("kindest/node:v{version}"));
        match self.builder.node(&engine, release, &official).await {
            Ok((archive, _)) => {
                let key = self.builder.node_key(release)?;
                let reference = self.builder.node_reference(version, &key);
                let id = self.loaded(&engine, &archive, &reference).await?;
                Ok(present(reference, id, Origin::Built))
            }
            Err(error) => {
                search.no("build from source", "failed");
                Err(search.failed(Some(error.into())))
            }
        }
    }

    /// The file of a program, built if need be.
    ///
    /// # Errors
    /// No source has it.
    pub async fn binary(
        &self,
        binary: Binary,
        version: KubernetesVersion,
    ) -> Result<PathBuf, Error> {
        if binary.is_kubernetes() {
            self.catalogue.resolve(VersionRequest::Exact(version))?;
        }
        let named = Component::ALL
            .into_iter()
            .find(|component| component.name() == binary.name())
            .map_or_else(
                || version.to_string(),
                |component| component.version(&self.catalogue, version),
            );
        let mut search = Search::new(format!("the program {binary} {named}"));
        match &self.directory {
            None => search.no("directory", "VCLUSTER_TEST_ASSETS is not set"),
            Some(directory) => match directory::binary(directory, binary.name(), &named) {
                Some(path) => return Ok(path),
                None => search.no("directory", "not in it"),
            },
        }
        if self.offline {
            let key = self.builder.binary_key(binary, version)?;
            if let Some(path) = self.store.find(&key).await? {
                return Ok(path);
            }
            search.no("cache", "not in it");
            search.no("build from source", "VCLUSTER_TEST_OFFLINE is set");
            return Err(search.failed(None));
        }
        match self.builder.binary(binary, version).await {
            Ok((path, _)) => Ok(path),
            Err(error) => {
                search.no("build from source", "failed");
                Err(search.failed(Some(error.into())))
            }
        }
    }

    /// What there is of all that a version needs, without making anything.
    ///
    /// # Errors
    /// The lock file does not have the version.
    pub async fn describe(&self, version: KubernetesVersion) -> Result<Vec<Described>, Error> {
        let release = self.catalogue.resolve(VersionRequest::Exact(version))?;
        let mut all = Vec::new();
        for component in Component::ALL {
            let named = component.version(&self.catalogue, version);
            let in_directory = self
                .directory
                .as_deref()
                .and_then(|directory| directory::image(directory, component.name(), &named));
            let key = self.builder.image_key(component, version).ok().flatten();
            let record = key.and_then(|key| self.store.record(&key));
            let official = component.official(&self.catalogue, version)?;
            let origin = if in_directory.is_some() {
                Some(Origin::Directory)
            } else if record.is_some() {
                Some(Origin::Cache)
            } else {
                self.in_engine(official.as_deref()).await
            };
            all.push(Described {
                name: format!("image {component} {named}"),
                origin,
                size: record.as_ref().map(|record| record.size),
                seconds: record.as_ref().map(|record| record.seconds),
            });
        }
        let key = self.builder.node_key(release).ok();
        let record = key.as_ref().and_then(|key| self.store.record(key));
        let ours = key.map(|key| self.builder.node_reference(version, &key));
        let mut origin = self.in_engine(ours.as_deref()).await;
        if origin.is_none() {
            origin = self.in_engine(release.node_image.as_deref()).await;
        }
        all.push(Described {
            name: format!("node image {version}"),
            origin: origin.or(record.as_ref().map(|_| Origin::Cache)),
            size: record.as_ref().map(|record| record.size),
            seconds: record.as_ref().map(|record| record.seconds),
        });
        Ok(all)
    }

    async fn in_engine(&self, reference: Option<&str>) -> Option<Origin> {
        let engine = self.engine().await.ok()?;
        let id = engine.image_id(registry::without_digest(reference?)).await;
        id.ok().flatten().map(|_| Origin::Engine)
    }

    /// An image that was named by the user is taken as it is.
    async fn named_syncer(&self, reference: &str) -> Result<Image, Error> {
        let mut search = Search::new(format!("the syncer image {reference}"));
        let found = self
            .engine_or_registry(Some(reference.to_owned()), &mut search)
            .await?;
        match found {
            Some((reference, origin)) => Ok(Image {
                reference,
                archive: None,
                origin,
            }),
            None => Err(search.failed(None)),
        }
    }

    /// The official image, if the engine has it or can get it. Without an engine that is no failure:
    /// a host elsewhere pulls for itself.
    async fn engine_or_registry(
        &self,
        official: Option<String>,
        search: &mut Search,
    ) -> Result<Option<(String, Origin)>, Error> {
        let Some(official) = official else {
            search.no("container engine", "there is no official image");
            return Ok(None);
        };
        let engine = match self.engine().await {
            Ok(engine) => engine,
            Err(error) => {
                search.no("container engine", error.to_string());
                return Ok(None);
            }
        };
        let name = registry::without_digest(&official).to_owned();
        if engine.image_id(&name).await?.is_some() {
            return Ok(Some((name, Origin::Engine)));
        }
        search.no("container engine", format!("does not have {name}"));
        if self.offline {
            search.no("registry", "VCLUSTER_TEST_OFFLINE is set");
            return Ok(None);
        }
        let mirror = self.mirror.as_deref();
        match registry::pull(&engine, &official, mirror, &self.progress).await? {
            Answer::Pulled => Ok(Some((name, Origin::Registry))),
            Answer::Not(reason) => {
                search.no("registry", reason);
                Ok(None)
            }
        }
    }

    /// Makes sure that the engine has the image of an archive.
    async fn loaded(
        &self,
        engine: &Engine,
        archive: &std::path::Path,
        reference: &str,
    ) -> Result<String, Error> {
        if let Some(id) = engine.image_id(reference).await? {
            return Ok(id);
        }
        let step = self.progress.step(format!("loading {reference}"));
        let id = engine.load(archive, reference).await?;
        step.done();
        Ok(id)
    }

    async fn engine(&self) -> Result<Engine, Error> {
        Ok(self.engine.get_or_try_init(Engine::connect).await?.clone())
    }
}

/// Which sources were asked, and why they did not help.
#[derive(Debug)]
struct Search {
    asset: String,
    tried: Vec<String>,
}

impl Search {
    fn new(asset: String) -> Self {
        Self {
            asset,
            tried: Vec::new(),
        }
    }

    fn no(&mut self, source: &str, why: impl AsRef<str>) {
        tracing::debug!(asset = self.asset, source, why = why.as_ref(), "not here");
        self.tried.push(format!("{source}: {}", why.as_ref()));
    }

    fn failed(self, source: Option<Error>) -> Error {
        Error::Unavailable {
            asset: self.asset,
            tried: self.tried,
            source: source.map(Box::new),
        }
    }
}
