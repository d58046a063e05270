//! Hosts of ours that nobody finished, that are stopped, or that were idle for long enough.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::{
    YOUNG,
    item::{Error, Item, Kind, Removal, alone},
    lock_of,
};
use crate::{
    engine::Engine,
    host::{
        self, idle,
        kind::{self, KindCluster},
    },
    settings::Settings,
};

pub(super) async fn survey(settings: &Settings, engine: &Engine) -> Result<Vec<Item>, Error> {
    let mut items = Vec::new();
    for cluster in kind::list(engine).await? {
        if cluster.is_ours {
            items.extend(judge(settings, engine, &cluster).await?);
        }
    }
    Ok(items)
}

async fn judge(
    settings: &Settings,
    engine: &Engine,
    cluster: &KindCluster,
) -> Result<Option<Item>, Error> {
    let lock = lock_of(&settings.cache, &format!("host-{}", cluster.name));
    let Some(held) = alone(&lock)? else {
        // Somebody makes it, or brings it up.
        return Ok(None);
    };
    let item = |because: String, removal| {
        Some(Item::new(
            Kind::Host,
            cluster.name.clone(),
            because,
            removal,
        ))
    };
    let removal = Removal::Host {
        engine: engine.clone(),
        name: cluster.name.clone(),
        lock: lock.clone(),
    };
    if !cluster.is_running() {
        let Some(stopped) = stopped_for(engine, cluster).await? else {
            return Ok(None);
        };
        let hours = stopped.as_secs() / 3600;
        let because = format!("stopped for {hours} hours");
        return Ok(item(because, removal).filter(|_| stopped > YOUNG));
    }
    match kind::connect(engine, cluster).await {
        Err(host::Error::HalfMade { reason, .. }) if cluster.is_abandoned(&lock) => {
            Ok(item(format!("nobody finishes it: {reason}"), removal))
        }
        Err(host::Error::HalfMade { .. } | host::Error::Gone { .. }) => Ok(None),
        Err(error) => Err(error.into()),
        Ok(host) => {
            drop(held);
            let Some(after) = settings.host_idle else {
                return Ok(None);
            };
            let is_over = idle::is_over(&host, &settings.cache, after).await?;
            let because = format!("nobody used it for {}", humantime::format_duration(after));
            let removal = Removal::IdleHost {
                name: cluster.name.clone(),
                cache: settings.cache.clone(),
                after,
            };
            Ok(item(because, removal).filter(|_| is_over))
        }
    }
}

/// Since the last of its containers stopped; `None` when one was never started, or nobody knows.
async fn stopped_for(engine: &Engine, cluster: &KindCluster) -> Result<Option<Duration>, Error> {
    let mut least = None;
    for container in &cluster.containers {
        let inspected = engine.docker().inspect_container(&container.name, None);
        let inspected = inspected.await.map_err(|source| Error::Request {
            step: "look at",
            object: container.name.clone(),
            source,
        })?;
        let finished = inspected.state.and_then(|state| state.finished_at);
        let Some(finished) = finished.and_then(|at| at.parse::<Timestamp>().ok()) else {
            return Ok(None);
        };
        let age = Timestamp::now().duration_since(finished);
        // The engine writes the year 1 for what never stopped.
        if age < SignedDuration::ZERO || finished < Timestamp::UNIX_EPOCH {
            return Ok(None);
        }
        let age = Duration::try_from(age).unwrap_or_default();
        least = Some(least.map_or(age, |least: Duration| least.min(age)));
    }
    Ok(least)
}
