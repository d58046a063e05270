//! What a virtual cluster has from the start: applied as soon as its API server takes it.

use std::time::Duration;

use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info};

use crate::{chain::Chain, write::Error};

/// Applies again and again until it works or `cancel` comes.
pub(crate) async fn until_applied<F>(
    step: &'static str,
    cancel: &CancellationToken,
    apply: impl Fn() -> F,
) where
    F: Future<Output = Result<(), Error>>,
{
    let mut pause = Duration::from_millis(50);
    loop {
        match apply().await {
            Ok(()) => {
                info!(step, "applied");
                return;
            }
            Err(error) => debug!(step, error = %Chain(&error), "not applied yet"),
        }
        if cancel.run_until_cancelled(sleep(pause)).await.is_none() {
            return;
        }
        // An API server that starts takes seconds, and every one counts.
        pause = (pause * 5 / 4).min(Duration::from_secs(5));
    }
}

/// The typed form of an object that is written down in this crate, so that it always has one.
pub(crate) fn object<K: DeserializeOwned>(value: Value) -> K {
    serde_json::from_value(value).expect("the manifests in this crate are valid")
}
