//! Hosts of ours that nobody finished, that are stopped, or that were idle for long enough; and the locks of hosts
//! that are gone.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};

use super::{
    YOUNG,
    files::{age, entries, shown},
    item::{Error, Item, Kind, Removal, all_alone, alone},
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
    let clusters = kind::list(engine).await?;
    for cluster in clusters.iter().filter(|cluster| cluster.is_ours) {
        items.extend(judge(settings, engine, cluster).await?);
    }
    let there = clusters.into_iter().map(|cluster| cluster.name).collect();
    items.extend(locks(&settings.cache, &there)?);
    Ok(items)
}

/// Locks of hosts that are not there. Young ones may be about to be taken. All of a host go together.
fn locks(cache: &Path, there: &BTreeSet<String>) -> Result<Vec<Item>, Error> {
    let mut by_host = BTreeMap::<String, Vec<PathBuf>>::new();
    for (path, name) in entries(&cache.join("locks"))? {
        let host = name.strip_prefix("host-");
        let host = host.and_then(|name| name.rsplit_once('.'));
        if let Some((host, _)) = host.filter(|(host, _)| !there.contains(*host)) {
            by_host.entry(host.to_owned()).or_default().push(path);
        }
    }
    let mut items = Vec::new();
    for (host, paths) in by_host {
        let is_old = |path: &PathBuf| age(path).is_some_and(|age| age > YOUNG);
        if paths.iter().all(is_old) && all_alone(&paths)?.is_some() {
            let name = lock_of(cache, &format!("host-{host}"));
            let because = "its host is not there";
            let removal = Removal::Locks(paths);
            items.push(Item::new(Kind::Lock, shown(&name), because, removal));
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

#[cfg(test)]
mod tests {
    use super::super::files::tests::{Cache, LONG, NOW};
    use super::*;

    #[tokio::test]
    async fn the_locks_of_a_host_that_is_gone_go_together() {
        let cache = Cache::new();
        for name in ["gone.lock", "gone.use", "there.use", "taken.lock"] {
            cache.add(&format!("locks/host-{name}"), LONG);
        }
        cache.add("locks/host-young.lock", NOW);
        cache.add("locks/host-young.use", LONG);
        let held = cache.add("locks/host-taken.idle", LONG);
        held.lock().unwrap();
        let there = BTreeSet::from(["there".to_owned()]);
        let items = locks(&cache.path(""), &there).unwrap();
        assert_eq!(items.len(), 1, "{items:?}");
        assert!(items[0].remove().await.unwrap());
        assert!(!cache.path("locks/host-gone.lock").exists());
        assert!(!cache.path("locks/host-gone.use").exists());
        assert!(cache.path("locks/host-taken.lock").exists());
        assert!(locks(&cache.path(""), &there).unwrap().is_empty());
    }
}
