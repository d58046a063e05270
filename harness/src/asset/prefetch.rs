//! Getting everything that a run needs, ahead of it.

use std::time::{Duration, Instant};

use futures::{StreamExt as _, TryStreamExt as _};

use super::{Assets, Component, Error, Image, NodeImage};
use crate::version::KubernetesVersion;

/// What a run needs, and how long each took to come by.
#[derive(Debug, Clone)]
pub struct Prefetched {
    /// The node image.
    pub node: (NodeImage, Duration),
    /// The images of control planes and test pods.
    pub images: Vec<(Component, Image, Duration)>,
}

/// What a run with distro k8s needs.
const COMPONENTS: [Component; 8] = [
    Component::KubeApiserver,
    Component::KubeControllerManager,
    Component::Etcd,
    Component::Coredns,
    Component::Syncer,
    Component::Shell,
    Component::TestServer,
    Component::KubeScheduler,
];

/// Images under way at a time. Go builds stand in line by themselves; writing archives overlaps with them.
const AT_ONCE: usize = 3;

impl Assets {
    /// Gets the node image and every image that a cluster of this version needs.
    ///
    /// # Errors
    /// Something is to be had from no source.
    pub async fn prefetch(&self, version: KubernetesVersion) -> Result<Prefetched, Error> {
        let images = async {
            futures::stream::iter(COMPONENTS)
                .map(|component| async move {
                    let started = Instant::now();
                    let image = self.image(component, version).await?;
                    Ok::<_, Error>((component, image, started.elapsed()))
                })
                .buffered(AT_ONCE)
                .try_collect::<Vec<_>>()
                .await
        };
        let node = async {
            let started = Instant::now();
            let image = self.node_image(version).await?;
            Ok((image, started.elapsed()))
        };
        let (images, node) = futures::try_join!(images, node)?;
        Ok(Prefetched { node, images })
    }
}
