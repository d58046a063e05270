//! The way to every asset: the sources, one after the other.

use std::{path::PathBuf, sync::Arc, time::Duration};

use tokio::sync::OnceCell;

use super::{
    Binary, Catalogue, Component, Error, Image, NodeImage, Origin,
    build::{Builder, DatabaseServer, StandIn},
    digests::Digests,
    directory,
    registry::{self, Answer},
    search::Search,
    store::Store,
};
use crate::{
    engine::Engine,
    progress::Progress,
    settings::Settings,
    version::{KubernetesVersion, VersionRequest},
};

/// Images and binaries by version. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Assets {
    pub(super) catalogue: Arc<Catalogue>,
    pub(super) directory: Option<PathBuf>,
    pub(super) builder: Builder,
    pub(super) store: Store,
    digests: Digests,
    mirror: Option<String>,
    offline: bool,
    syncer_image: Option<String>,
    progress: Progress,
    /// How long a registry may take to answer.
    patience: Duration,
    /// Where the engine is, when not where `DOCKER_HOST` says.
    engine_address: Option<String>,
    engine: Arc<OnceCell<Engine>>,
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
            digests: Digests::new(&settings.cache, store.clone()),
            mirror: settings.mirror.clone(),
            offline: settings.offline,
            syncer_image: settings.syncer_image.clone(),
            store,
            progress,
            patience: registry::PATIENCE,
            engine_address: None,
            engine: Arc::default(),
        }
    }

    /// The same with the engine at this address, and less time for registries.
    #[cfg(test)]
    pub(super) fn with_engine(self, address: String, patience: Duration) -> Self {
        Self {
            engine_address: Some(address),
            patience,
            ..self
        }
    }

    /// The versions there are.
    pub fn catalogue(&self) -> &Catalogue {
        &self.catalogue
    }

    /// The version that a request means: of the lock file, or any patch of a minor that is in it.
    ///
    /// # Errors
    /// The lock file does not have it; the error names the near ones.
    #[expect(
        clippy::unused_async,
        reason = "a lock file may come from elsewhere one day"
    )]
    pub async fn resolve(&self, request: VersionRequest) -> Result<KubernetesVersion, Error> {
        self.catalogue.accept(request)
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
        let image = self.official_image(component, version).await;
        // A version of which nobody said that it exists.
        let is_unlisted = component.is_kubernetes() && self.catalogue.release(version).is_none();
        match image {
            Err(error @ Error::Unavailable { .. }) if is_unlisted => {
                let request = VersionRequest::Exact(version);
                Err(self.catalogue.unknown(request, Some(error)))
            }
            image => image,
        }
    }

    async fn official_image(
        &self,
        component: Component,
        version: KubernetesVersion,
    ) -> Result<Image, Error> {
        let official = component.official(&self.catalogue, version);
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
        match self.builder.plan(component, version) {
            Ok(Some(plan)) => {
                if let Some(archive) = self.store.find(&plan.key).await? {
                    return Ok(Image {
                        reference: plan.reference,
                        archive: Some(archive),
                        origin: Origin::Cache,
                    });
                }
                search.no("cache", "not in it");
            }
            Ok(None) => search.no("cache", "holds only what is built from source"),
            Err(error) => search.no("cache", error.to_string()),
        }
        if let Some((reference, origin)) = self.checked(official, &mut search).await? {
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
            Ok(Some((plan, archive))) => Ok(Image {
                reference: plan.reference,
                archive: Some(archive),
                origin: Origin::Built,
            }),
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
                let reference = Builder::node_reference(version, &key);
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
        if let Some((reference, origin)) = self.checked(official.clone(), &mut search).await? {
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
                let reference = Builder::node_reference(version, &key);
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

    /// What stands in for k3s and k0s in this project's own tests. No search for an image finds it.
    ///
    /// # Errors
    /// A build fails.
    #[doc(hidden)]
    pub async fn stand_in(&self, version: KubernetesVersion) -> Result<StandIn, Error> {
        Ok(self.builder.stand_in(version).await?)
    }

    /// A database server for this project's own tests. No search for an image finds it.
    ///
    /// # Errors
    /// Its packages cannot be had.
    #[doc(hidden)]
    pub async fn database_server(&self, server: DatabaseServer) -> Result<Image, Error> {
        let (reference, archive) = self.builder.database(server).await?;
        Ok(Image {
            reference,
            archive: Some(archive),
            origin: Origin::Cache,
        })
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

    /// The official image, if the engine has it or can get it, with the content that it should have.
    async fn checked(
        &self,
        official: Option<String>,
        search: &mut Search,
    ) -> Result<Option<(String, Origin)>, Error> {
        let found = self.engine_or_registry(official.clone(), search).await?;
        if let (Some((reference, _)), Some(official)) = (&found, &official) {
            let digests = self.engine().await?.image_digests(reference).await?;
            self.digests.check(official, &digests).await?;
        }
        Ok(found)
    }

    /// An image, if the engine has it or can get it. Without an engine that is no failure:
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
        match registry::pull(&engine, &official, mirror, self.patience, &self.progress).await? {
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

    pub(super) async fn engine(&self) -> Result<Engine, Error> {
        let connect = async || match &self.engine_address {
            Some(address) => Engine::connect_with(&[("DOCKER_HOST", address.as_str())]).await,
            None => Engine::connect().await,
        };
        Ok(self.engine.get_or_try_init(connect).await?.clone())
    }
}
