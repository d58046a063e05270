//! Where a test's clusters come from. The real one is the shared host; tests of this module pretend.

use std::{error::Error, path::PathBuf};

use super::spec::TestInfo;
use crate::{diagnostics::Failure, settings::Settings};

/// Why a cluster could not be stopped or kept.
pub type CleanUpError = Box<dyn Error + Send + Sync>;

/// What gives clusters to tests.
pub trait Backend {
    /// What a test holds. Clones are the same cluster.
    type Cluster: Clone + Send + Sync + 'static;

    /// What the environment says.
    fn settings(&self) -> &Settings;

    /// Starts one cluster, and the host when there is none. What it began and could not finish, it
    /// explains and undoes.
    fn start(&self, test: &TestInfo) -> impl Future<Output = Result<Self::Cluster, SetUpError>>;

    /// Looks for the cause of a failure while the clusters are still there.
    fn explain(
        &self,
        clusters: &[Self::Cluster],
        failure: &Failure,
    ) -> impl Future<Output = Explanation>;

    /// Ends the use of a cluster whose test did what it should: another test may have it next. Deletes it,
    /// unless said otherwise.
    fn give_back(&self, cluster: Self::Cluster) -> impl Future<Output = Result<(), CleanUpError>> {
        self.stop(cluster)
    }

    /// Deletes a cluster.
    fn stop(&self, cluster: Self::Cluster) -> impl Future<Output = Result<(), CleanUpError>>;

    /// Lets a cluster outlive the test and says how to reach it.
    fn keep(
        &self,
        test: &TestInfo,
        cluster: Self::Cluster,
    ) -> impl Future<Output = Result<String, CleanUpError>>;
}

/// Why a cluster could not be started, and what was found out about it before it was undone.
#[derive(Debug)]
pub struct SetUpError {
    /// Why.
    pub cause: Box<dyn Error + Send + Sync>,
    /// What was seen.
    pub explanation: Explanation,
}

impl Explanation {
    /// Adds what was seen; nothing when the text is empty.
    pub(super) fn note(&mut self, text: &str) {
        if !text.is_empty() && !self.summary.is_empty() {
            self.summary.push('\n');
        }
        self.summary.push_str(text);
    }
}

/// What was found out about a failure.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Explanation {
    /// What was seen that may be the cause, one thing per line.
    pub summary: String,
    /// Where all that was collected lies.
    pub bundles: Vec<PathBuf>,
}

impl<E: Error + Send + Sync + 'static> From<E> for SetUpError {
    fn from(error: E) -> Self {
        Self {
            cause: error.into(),
            explanation: Explanation::default(),
        }
    }
}
