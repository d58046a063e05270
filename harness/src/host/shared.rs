//! The host that everything on this machine shares: found by its label, or made by one process while
//! the others wait and say so.

use std::{path::PathBuf, time::Duration};

use super::{
    Error, HostCluster, existing,
    idle::Uses,
    kind::{self, KindCluster, KindOptions},
    lock::Lock,
    preflight, shape,
};
use crate::{
    asset::Assets,
    deadline::Deadline,
    engine::Engine,
    progress::{Progress, Step},
    settings::{HostChoice, Settings},
};

/// How long another process may take to make the host, its image included.
const TURN: Duration = Duration::from_hours(2);
/// How long a host that was stopped may take to come back before it is replaced.
const RESUME: Duration = Duration::from_secs(90);
/// How often a host that another process makes is looked at.
const LOOK: Duration = Duration::from_millis(200);
/// How long a name may be taken by a container that cannot be seen: it is being made, or is going.
const UNSEEN: Duration = Duration::from_secs(30);
/// How long such a container is looked for before its name is tried again.
const AGAIN: Duration = Duration::from_secs(2);

/// The host that `settings` choose: found, brought up again, or made.
///
/// # Errors
/// The engine cannot be used, the host cannot be made, or a cluster of somebody else has not opted in.
pub async fn shared(
    settings: &Settings,
    assets: &Assets,
    progress: &Progress,
) -> Result<HostCluster, Error> {
    find_or_make(settings, None, assets, progress).await
}

/// The host that `settings` choose, with at least so many nodes that run pods. This machine has one host
/// for each number of nodes; one that the user named has to have enough of them, or is made with them.
///
/// # Errors
/// As [`shared`], and when the host that was named has fewer.
pub async fn shared_with_nodes(
    settings: &Settings,
    nodes: usize,
    assets: &Assets,
    progress: &Progress,
) -> Result<HostCluster, Error> {
    let host = find_or_make(settings, Some(nodes), assets, progress).await?;
    shape::check(&host, nodes).await?;
    Ok(host)
}

async fn find_or_make(
    settings: &Settings,
    nodes: Option<usize>,
    assets: &Assets,
    progress: &Progress,
) -> Result<HostCluster, Error> {
    if let HostChoice::Kubeconfig { path, context } = &settings.host {
        return existing::open(path, context.as_deref()).await;
    }
    let resolved = assets.resolve(settings.host_version).await;
    let version = resolved.map_err(unavailable("vcluster-test"))?;
    let name = shape::name(&settings.host, version, nodes);
    // First of all: from here on nobody deletes it because it is idle.
    Uses::of(&settings.cache, &name).join(progress).await?;
    let engine = Engine::connect().await?;
    let image = async || {
        // Before the image: that may take half an hour to build.
        preflight::require(&engine, &name, progress).await?;
        let image = assets.node_image(version).await;
        Ok(image.map_err(unavailable(&name))?.reference)
    };
    let place = SharedPlace {
        engine: engine.clone(),
        lock: settings
            .cache
            .join("locks")
            .join(format!("host-{name}.lock")),
        name: name.clone(),
        workers: nodes.unwrap_or(1).saturating_sub(1),
    };
    place.find_or_make(image, progress).await
}

fn unavailable(host: &str) -> impl FnOnce(crate::asset::Error) -> Error {
    move |source| Error::NoNodeImage {
        host: host.to_owned(),
        source: source.into(),
    }
}

/// Where a shared host is or will be.
#[derive(Debug)]
struct SharedPlace {
    engine: Engine,
    lock: PathBuf,
    name: String,
    /// Of a new one.
    workers: usize,
}

impl SharedPlace {
    async fn find_or_make(
        &self,
        image: impl AsyncFn() -> Result<String, Error>,
        progress: &Progress,
    ) -> Result<HostCluster, Error> {
        if let Some(host) = self.up().await? {
            return Ok(host);
        }
        let mut known_image = None;
        if kind::find(&self.engine, &self.name).await?.is_none() {
            // Before the lock: it may be built, which takes long and has its own lock and progress.
            known_image = Some(image().await?);
        }
        let step = progress.step(format!("host {}", self.name));
        let lock = Lock::acquire(&self.lock, &step, Deadline::after("host", TURN)).await?;
        let mut unseen = None;
        let host = loop {
            let Some(cluster) = kind::find(&self.engine, &self.name).await? else {
                let image = match known_image.take() {
                    Some(image) => image,
                    None => image().await?,
                };
                match self.make(image, progress).await {
                    // Somebody with another lock was quicker.
                    Err(error @ Error::Exists { .. }) => {
                        let since = unseen.get_or_insert_with(|| Deadline::after("host", UNSEEN));
                        if since.is_over() {
                            return Err(error);
                        }
                        self.look_for_it().await?;
                        continue;
                    }
                    made => break made?,
                }
            };
            match self.bring_up(&cluster, &step).await {
                Ok(host) => break host,
                Err(error) if cluster.is_ours && is_repaired_by_replacing(&error) => {
                    if may_be_in_the_making(&error) && self.is_being_made(&cluster, &step).await? {
                        continue;
                    }
                    tracing::warn!(host = %self.name, %error, "replacing the host");
                    step.detail(&format!("it is replaced: {error}"));
                    kind::delete(&self.engine, &self.name).await?;
                }
                Err(error) => return Err(error),
            }
        };
        drop(lock);
        step.done();
        Ok(host)
    }

    /// The host, if it needs nothing. A cluster that is being made is not up yet.
    async fn up(&self) -> Result<Option<HostCluster>, Error> {
        let Some(cluster) = kind::find(&self.engine, &self.name).await? else {
            return Ok(None);
        };
        match kind::is_up(&self.engine, &cluster).await {
            Err(error) if !matches!(error, Error::Kubeconfig { .. }) => Ok(None),
            answer => answer,
        }
    }

    async fn bring_up(&self, cluster: &KindCluster, step: &Step) -> Result<HostCluster, Error> {
        if let Ok(Some(host)) = kind::is_up(&self.engine, cluster).await {
            return Ok(host);
        }
        step.detail("bringing it up again");
        let deadline = Deadline::after("host", RESUME);
        kind::resume(&self.engine, cluster, deadline).await
    }

    async fn make(&self, image: String, progress: &Progress) -> Result<HostCluster, Error> {
        let options = KindOptions {
            name: self.name.clone(),
            image,
            workers: self.workers,
            lock: Some(self.lock.clone()),
            ..KindOptions::default()
        };
        kind::make(&self.engine, &options, progress).await
    }

    /// Waits a moment for a cluster that somebody else has just begun.
    async fn look_for_it(&self) -> Result<(), Error> {
        let deadline = Deadline::after("host", AGAIN);
        while !deadline.is_over() && kind::find(&self.engine, &self.name).await?.is_none() {
            tokio::time::sleep(LOOK).await;
        }
        Ok(())
    }

    /// Waits a moment if a living process, which must have another lock than ours, makes it.
    async fn is_being_made(&self, cluster: &KindCluster, step: &Step) -> Result<bool, Error> {
        if cluster.is_abandoned(&self.lock) {
            return Ok(false);
        }
        step.detail("waiting for another process that makes it");
        while let Some(cluster) = kind::find(&self.engine, &self.name).await? {
            if cluster.is_abandoned(&self.lock)
                || matches!(kind::is_up(&self.engine, &cluster).await, Ok(Some(_)))
            {
                break;
            }
            tokio::time::sleep(LOOK).await;
        }
        Ok(true)
    }
}

/// Is this what a host looks like that somebody makes just now? Once it was complete, nobody is at it.
fn may_be_in_the_making(error: &Error) -> bool {
    matches!(
        error,
        Error::HalfMade { .. } | Error::Gone { .. } | Error::NotRunning { .. }
    )
}

/// Would a new host be free of this fault? The engine's own faults would stay.
fn is_repaired_by_replacing(error: &Error) -> bool {
    matches!(
        error,
        Error::HalfMade { .. }
            | Error::Gone { .. }
            | Error::NotRunning { .. }
            | Error::NotReady { .. }
            | Error::Command { .. }
            | Error::CommandTimeout { .. }
            | Error::Api { .. }
    )
}
