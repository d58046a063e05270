//! What becomes of a test's clusters when its body has ended, however it ended.

use std::panic::AssertUnwindSafe;

use futures::{FutureExt as _, future::join_all};

use super::{
    backend::{Backend, CleanUpError},
    report,
    spec::TestInfo,
};
use crate::settings::Keep;

/// What was done with the clusters.
#[derive(Debug, Default)]
pub(super) struct CleanedUp {
    /// How to reach those that were kept.
    pub(super) kept: Vec<String>,
    /// What went wrong.
    pub(super) errors: Vec<String>,
}

/// Deletes all clusters side by side, gives them back, or keeps them.
pub(super) async fn all<B: Backend>(
    backend: &B,
    test: &TestInfo,
    clusters: Vec<B::Cluster>,
    has_failed: bool,
) -> CleanedUp {
    let keeps = match test.spec.keep_policy(backend.settings()) {
        Keep::Never => false,
        Keep::OnFailure => has_failed,
        Keep::Always => true,
    };
    let ends = clusters.into_iter().map(async |cluster| {
        if keeps {
            bounded(backend, backend.keep(test, cluster))
                .await
                .map(Some)
        } else if has_failed {
            // Whatever went wrong in it is not for the next test.
            bounded(backend, backend.stop(cluster)).await.map(|()| None)
        } else {
            let given = bounded(backend, backend.give_back(cluster));
            given.await.map(|()| None)
        }
    });
    let mut cleaned = CleanedUp::default();
    for end in join_all(ends).await {
        match end {
            Ok(kept) => cleaned.kept.extend(kept),
            Err(error) => cleaned.errors.push(error),
        }
    }
    cleaned
}

async fn bounded<T>(
    backend: &impl Backend,
    action: impl Future<Output = Result<T, CleanUpError>>,
) -> Result<T, String> {
    let limit = backend.settings().stop_timeout;
    let action = AssertUnwindSafe(action).catch_unwind();
    match tokio::time::timeout(limit, action).await {
        Ok(Ok(Ok(value))) => Ok(value),
        Ok(Ok(Err(error))) => Err(report::chain(&*error)),
        Ok(Err(payload)) => Err(format!("a panic: {}", report::panic_text(&*payload))),
        Err(_) => Err(format!(
            "not done after {}",
            humantime::format_duration(limit)
        )),
    }
}
