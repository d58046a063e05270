//! The timer: part of a reaper that has nothing else to do any more.

use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tracing::debug;

use super::{
    super::{
        Error, HostCluster,
        kind::{self, KindCluster},
    },
    decide::{Verdict, decide},
    record,
    uses::Uses,
};
use crate::{cluster, engine::Engine};

/// How often it is tried again to reach a host or an engine that does not answer.
const RETRY: Duration = Duration::from_mins(1);
/// How often in a row. An engine that is restarted is back by then; the next user has a timer of its own.
const RETRIES: u32 = 10;

/// What becomes of a host when its last user has ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Idle {
    /// It is deleted when nobody used it for so long.
    pub(crate) after: Duration,
    /// The cache directory, where the locks are.
    pub(crate) cache: PathBuf,
}

/// How the timer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// Another process is the timer.
    NotMine,
    /// There is no such host, or it does not run, or is not ours to delete.
    NothingToDo,
    /// It is to stay.
    Stands,
    /// It was deleted.
    Deleted,
    /// It could not be reached.
    OutOfReach,
}

/// What one look gave.
enum Look {
    Again(Duration),
    Over(End),
}

/// A host whose use could not be found out.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UseError {
    /// The engine.
    #[error("could not reach the engine")]
    Engine(#[from] crate::engine::Error),
    /// The host.
    #[error("could not reach the host")]
    Host(#[from] Error),
    /// Its record.
    #[error("could not read from the host whether it is used")]
    Record(#[from] kube::Error),
    /// Its clusters.
    #[error("could not list the clusters of the host")]
    Clusters(#[from] cluster::ListError),
    /// The locks.
    #[error("could not use the host's locks")]
    Locks(#[from] io::Error),
}

/// Waits until the host was idle long enough and deletes it; ends early when it is another's business.
/// `use_of_mine` is let go as soon as this is the timer. Returns a line for the log.
pub(crate) async fn run(host: &str, idle: &Idle, use_of_mine: Option<File>) -> String {
    let began = Instant::now();
    let end = time(host, idle, use_of_mine).await;
    let told = match end {
        End::NotMine => "another process is its idle timer",
        End::NothingToDo => "there is nothing to delete",
        End::Stands => "it is to stay",
        End::Deleted => "nobody used it any more: deleted",
        End::OutOfReach => "it could not be reached",
    };
    format!(
        "host {host}: {told}, after {} s\n",
        began.elapsed().as_secs()
    )
}

async fn time(host: &str, idle: &Idle, use_of_mine: Option<File>) -> End {
    let uses = Uses::of(&idle.cache, host);
    let Ok(Some(_timer)) = uses.try_timer() else {
        return End::NotMine;
    };
    drop(use_of_mine);
    let (since, mut failures) = (Timestamp::now(), 0);
    loop {
        let pause = match look(host, idle.after, since, &uses).await {
            Ok(Look::Over(end)) => return end,
            Ok(Look::Again(pause)) => {
                failures = 0;
                pause
            }
            Err(error) if failures == RETRIES => {
                debug!(error = &error as &dyn std::error::Error, "given up");
                return End::OutOfReach;
            }
            Err(error) => {
                debug!(error = &error as &dyn std::error::Error, "tried again");
                failures += 1;
                RETRY.min(idle.after)
            }
        };
        tokio::time::sleep(pause).await;
    }
}

/// Did nobody use the host for so long? Asks, and does nothing.
pub(crate) async fn is_over(
    host: &HostCluster,
    cache: &Path,
    after: Duration,
) -> Result<bool, UseError> {
    let is_alone = Uses::of(cache, host.name()).try_alone()?.is_some();
    Ok(is_alone && judge(host, after, Timestamp::now()).await? == Verdict::Delete)
}

/// Deletes the host if nobody used it for so long; says whether it did.
pub(crate) async fn delete_now(
    host: &str,
    cache: &Path,
    after: Duration,
) -> Result<bool, UseError> {
    let uses = Uses::of(cache, host);
    let look = look(host, after, Timestamp::now(), &uses).await?;
    Ok(matches!(look, Look::Over(End::Deleted)))
}

async fn look(
    host: &str,
    after: Duration,
    since: Timestamp,
    uses: &Uses,
) -> Result<Look, UseError> {
    let engine = Engine::connect().await?;
    let Some(cluster) = kind::find(&engine, host).await? else {
        return Ok(Look::Over(End::NothingToDo));
    };
    if !cluster.is_ours || !cluster.is_running() {
        return Ok(Look::Over(End::NothingToDo));
    }
    let connected = kind::connect(&engine, &cluster).await?;
    match judge(&connected, after, since).await? {
        Verdict::Stands => return Ok(Look::Over(End::Stands)),
        Verdict::Again(pause) => return Ok(Look::Again(pause)),
        Verdict::Delete => {}
    }
    // Whoever comes now waits until it is gone, and makes another.
    let Some(_alone) = uses.try_alone()? else {
        return Ok(Look::Again(RETRY.min(after)));
    };
    // Somebody may have come and gone in between.
    match judge(&connected, after, since).await? {
        Verdict::Stands => Ok(Look::Over(End::Stands)),
        Verdict::Again(pause) => Ok(Look::Again(pause)),
        Verdict::Delete => delete(&engine, &cluster).await,
    }
}

async fn judge(host: &HostCluster, after: Duration, since: Timestamp) -> Result<Verdict, UseError> {
    let client = host.client().await?;
    let record = record::read(&client).await?;
    let clusters = cluster::list(&client).await?.len();
    Ok(decide(&record, clusters, after, since, Timestamp::now()))
}

async fn delete(engine: &Engine, cluster: &KindCluster) -> Result<Look, UseError> {
    kind::delete(engine, &cluster.name).await?;
    Ok(Look::Over(End::Deleted))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_is_not_the_timer_lets_the_host_be() {
        let cache = tempfile::tempdir().unwrap();
        let uses = Uses::of(cache.path(), "h");
        let _other = uses.try_timer().unwrap().unwrap();
        let idle = Idle {
            after: Duration::ZERO,
            cache: cache.path().to_owned(),
        };
        let mine = uses.hold().unwrap();
        let line = run("h", &idle, mine).await;
        assert!(line.contains("another process"), "{line}");
    }
}
