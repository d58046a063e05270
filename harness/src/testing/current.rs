//! The running test, for code that is called by a test without being handed its arguments.

use std::{any::Any, sync::Arc};

use super::spec::TestInfo;

tokio::task_local! {
    static CURRENT: Arc<dyn Any + Send + Sync>;
}

/// The test that runs now: what rstest's fixtures are made from.
#[derive(Debug, Clone)]
pub struct Current<C> {
    /// Its clusters, in the order of the arguments that asked for them; one at least.
    pub clusters: Vec<C>,
    /// The test itself.
    pub test: TestInfo,
}

/// The running test, if this is called by a test and not by a task that it spawned.
pub fn current<C: Clone + Send + Sync + 'static>() -> Option<Current<C>> {
    CURRENT
        .try_with(|current| current.downcast_ref::<Current<C>>().cloned())
        .ok()
        .flatten()
}

/// Runs a test's body so that [`current`] finds the test.
pub(super) async fn scope<C: Clone + Send + Sync + 'static, F: Future>(
    current: Current<C>,
    body: F,
) -> F::Output {
    CURRENT.scope(Arc::new(current), body).await
}
