//! What there is already, for `doctor` and for the curious.

use super::{Assets, Component, Error, Origin, build::Builder, directory, registry};
use crate::engine::Engine;
use crate::version::{KubernetesVersion, VersionRequest};

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
    /// What there is of all that a version needs, without making anything.
    ///
    /// # Errors
    /// The lock file does not have the version.
    pub async fn describe(&self, version: KubernetesVersion) -> Result<Vec<Described>, Error> {
        let release = self.catalogue.resolve(VersionRequest::Exact(version))?;
        let engine = self.engine().await.ok();
        let mut all = Vec::new();
        for component in Component::ALL {
            let named = component.version(&self.catalogue, version);
            let in_directory = self
                .directory
                .as_deref()
                .and_then(|directory| directory::image(directory, component.name(), &named));
            let plan = self.builder.plan(component, version).ok().flatten();
            let record = plan.and_then(|plan| self.store.record(&plan.key));
            let official = component.official(&self.catalogue, version);
            let origin = if in_directory.is_some() {
                Some(Origin::Directory)
            } else if record.is_some() {
                Some(Origin::Cache)
            } else {
                in_engine(engine.as_ref(), official.as_deref()).await
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
        let ours = key.map(|key| Builder::node_reference(version, &key));
        let mut origin = in_engine(engine.as_ref(), ours.as_deref()).await;
        if origin.is_none() {
            origin = in_engine(engine.as_ref(), release.node_image.as_deref()).await;
        }
        all.push(Described {
            name: format!("node image {version}"),
            origin: origin.or(record.as_ref().map(|_| Origin::Cache)),
            size: record.as_ref().map(|record| record.size),
            seconds: record.as_ref().map(|record| record.seconds),
        });
        Ok(all)
    }
}

/// Does the engine have the image? Without an engine nothing is there.
async fn in_engine(engine: Option<&Engine>, reference: Option<&str>) -> Option<Origin> {
    let reference = registry::without_digest(reference?);
    let id = engine?.image_id(reference).await;
    id.ok().flatten().map(|_| Origin::Engine)
}
