//! Deletes clusters that have waited too long, when no test process is left that would.

use std::{fs::File, io, path::Path, time::Duration};

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Client;
use sha2::{Digest as _, Sha256};
use tracing::warn;

use super::{
    idle::{discard, waiting},
    record::idle_since,
};
use crate::{
    cluster::DeleteError,
    lock_file,
    owner::{clock, key},
};

/// Often enough for what is written in seconds.
const SHORTEST: Duration = Duration::from_millis(200);
/// Somebody may take what is waited for, or bring more.
const LONGEST: Duration = Duration::from_secs(5);
/// A host tells the time in whole seconds.
const BLUR: SignedDuration = SignedDuration::from_secs(2);
/// How often a host may fail to answer before it counts as gone.
const PATIENCE: usize = 5;

/// Stays until no cluster waits on the host any more. One process does so at a time; all others return at
/// once.
pub(crate) async fn keep_watch(host: &Client, name: &str, cache: &Path) -> io::Result<()> {
    let file = open(name, cache)?;
    loop {
        if !lock_file::try_alone(&file)? {
            return Ok(());
        }
        watch(host).await;
        file.unlock()?;
        // Whoever saw the lock held has left its cluster before, and it is seen here.
        match waiting(host).await {
            Ok(waiting) if !waiting.is_empty() => {}
            _ => return Ok(()),
        }
    }
}

async fn watch(host: &Client) {
    let mut failures = 0;
    while failures < PATIENCE {
        match round(host).await {
            Ok(None) => return,
            Ok(Some(pause)) => {
                failures = 0;
                tokio::time::sleep(pause).await;
            }
            Err(error) => {
                warn!(
                    error = &error as &dyn std::error::Error,
                    "idle clusters stay"
                );
                failures += 1;
                tokio::time::sleep(LONGEST).await;
            }
        }
    }
}

/// Deletes what has waited too long, and says when to look again; `None` when nothing waits.
async fn round(host: &Client) -> Result<Option<Duration>, DeleteError> {
    let waiting = waiting(host).await.map_err(DeleteError::List)?;
    if waiting.is_empty() {
        return Ok(None);
    }
    let now = clock::host_now(host).await;
    for idle in waiting.iter().filter(|idle| left(idle, now).is_zero()) {
        discard(host, idle, "nobody came").await?;
    }
    let next = waiting.iter().map(|idle| left(idle, now)).min();
    Ok(next.map(|left| left.clamp(SHORTEST, LONGEST)))
}

/// How long a cluster may wait still; what does not say so may not, nor what was left at a time to come: the clock
/// was put back since, who knows by how much.
fn left(idle: &ObjectMeta, now: Timestamp) -> Duration {
    if idle_since(idle) > now.saturating_add(BLUR).unwrap_or(Timestamp::MAX) {
        return Duration::ZERO;
    }
    let annotations = idle.annotations.as_ref();
    let until = annotations.and_then(|all| all.get(key::EXPIRES_AT)?.parse::<Timestamp>().ok());
    let left = until.map_or(SignedDuration::ZERO, |until| until.duration_since(now));
    Duration::try_from(left).unwrap_or_default()
}

/// A host's name may hold anything.
fn open(host: &str, cache: &Path) -> io::Result<File> {
    let digest = hex::encode(&Sha256::digest(host)[..6]);
    lock_file::open(&cache.join(format!("locks/pool-{digest}.lock")))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::{super::record, *};

    #[rstest]
    #[case::just_left("2026-01-02T03:04:05Z", 60)]
    #[case::left_a_while_ago("2026-01-02T03:04:55Z", 10)]
    #[case::long_enough("2026-01-02T03:05:05Z", 0)]
    #[case::after_a_jump_of_the_clock("2026-01-05T00:00:00Z", 0)]
    #[case::after_a_jump_back("2026-01-01T00:00:00Z", 0)]
    fn what_waits_has_a_minute_by_any_clock(#[case] now: &str, #[case] seconds: u64) {
        let since = "2026-01-02T03:04:05Z";
        let until = "2026-01-02T03:05:05Z";
        let annotations = [
            (record::key::IDLE_SINCE.to_owned(), since.to_owned()),
            (key::EXPIRES_AT.to_owned(), until.to_owned()),
        ];
        let idle = ObjectMeta {
            annotations: Some(annotations.into()),
            ..ObjectMeta::default()
        };
        let left = left(&idle, now.parse().unwrap());
        assert_eq!(left, Duration::from_secs(seconds));
    }
}
