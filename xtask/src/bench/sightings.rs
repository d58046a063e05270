//! When objects are first seen: one watch per side, so that both are judged by the same clock.

use std::{
    collections::BTreeMap,
    fmt::Debug,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use futures::{StreamExt as _, TryStreamExt as _};
use kube::{
    Api, Resource, ResourceExt as _,
    runtime::watcher::{self, Event},
};
use serde::de::DeserializeOwned;
use tokio::{sync::Notify, task::JoinHandle};
use vcluster_harness::deadline::Deadline;

/// The times at which objects of one kind were first seen on one side.
#[derive(Debug)]
pub(crate) struct Sightings {
    seen: Arc<Mutex<BTreeMap<String, Instant>>>,
    news: Arc<Notify>,
    watch: JoinHandle<Result<(), watcher::Error>>,
}

impl Sightings {
    /// Watches; returns when the watch stands, so that what is created from now on is seen at once.
    pub(crate) async fn watch<K>(api: Api<K>) -> anyhow::Result<Self>
    where
        K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
    {
        let seen = Arc::new(Mutex::new(BTreeMap::new()));
        let news = Arc::new(Notify::new());
        let stands = Arc::new(Notify::new());
        let watch = tokio::spawn(follow(
            api,
            Arc::clone(&seen),
            Arc::clone(&news),
            Arc::clone(&stands),
        ));
        tokio::time::timeout(Duration::from_secs(10), stands.notified())
            .await
            .context("a watch did not stand within 10 s")?;
        Ok(Self { seen, news, watch })
    }

    /// When each of these was first seen.
    pub(crate) async fn of(
        &self,
        names: &[String],
        deadline: Deadline,
    ) -> anyhow::Result<Vec<Instant>> {
        loop {
            let news = self.news.notified();
            let missing = {
                let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
                let found: Vec<_> = names
                    .iter()
                    .filter_map(|name| seen.get(name))
                    .copied()
                    .collect();
                if found.len() == names.len() {
                    return Ok(found);
                }
                names.iter().find(|name| !seen.contains_key(*name)).cloned()
            };
            if tokio::time::timeout_at(deadline.instant(), news)
                .await
                .is_err()
            {
                bail!(
                    "{} was not seen within {} s",
                    missing.unwrap_or_default(),
                    deadline.limit().as_secs()
                );
            }
        }
    }
}

impl Drop for Sightings {
    fn drop(&mut self) {
        self.watch.abort();
    }
}

async fn follow<K>(
    api: Api<K>,
    seen: Arc<Mutex<BTreeMap<String, Instant>>>,
    news: Arc<Notify>,
    stands: Arc<Notify>,
) -> Result<(), watcher::Error>
where
    K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
{
    let mut events = watcher::watcher(api, watcher::Config::default()).boxed();
    while let Some(event) = events.try_next().await? {
        match event {
            Event::Apply(object) | Event::InitApply(object) => {
                seen.lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .entry(object.name_any())
                    .or_insert_with(Instant::now);
                news.notify_waiters();
            }
            Event::InitDone => {
                stands.notify_one();
            }
            Event::Init | Event::Delete(_) => {}
        }
    }
    Ok(())
}
