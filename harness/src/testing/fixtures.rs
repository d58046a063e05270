//! Fixtures for rstest: what belongs to the test that runs. Import them by name, next to the attribute.
//!
//! They have the shape that `#[fixture]` gives to a function, so that this crate does not depend on rstest.

use kube::Client;

use super::current::{Current, current};
use crate::cluster::VirtualCluster;

/// The first cluster of the running test.
#[expect(
    non_camel_case_types,
    reason = "rstest looks for the name of the argument"
)]
#[derive(Debug)]
pub struct cluster {}

/// A client of the running test's first cluster.
#[expect(
    non_camel_case_types,
    reason = "rstest looks for the name of the argument"
)]
#[derive(Debug)]
pub struct client {}

impl cluster {
    /// The fixture's value.
    ///
    /// # Panics
    /// Not called by a `#[vcluster_test]`.
    #[track_caller]
    #[expect(clippy::should_implement_trait, reason = "rstest calls it so")]
    pub fn default() -> VirtualCluster {
        cluster()
    }
}

impl client {
    /// The fixture's value.
    ///
    /// # Panics
    /// Not called by a `#[vcluster_test]`.
    #[track_caller]
    #[expect(clippy::should_implement_trait, reason = "rstest calls it so")]
    pub fn default() -> Client {
        client()
    }
}

/// The first cluster of the running test.
///
/// # Panics
/// Not called by a `#[vcluster_test]`, or by a task that the test spawned.
#[track_caller]
pub fn cluster() -> VirtualCluster {
    let Current { clusters, .. } =
        current().expect("the fixture belongs to a `#[vcluster_test]`, and none runs here");
    clusters
        .into_iter()
        .next()
        .expect("every test has a cluster")
}

/// A client of the running test's first cluster.
///
/// # Panics
/// Not called by a `#[vcluster_test]`, or by a task that the test spawned.
#[track_caller]
pub fn client() -> Client {
    cluster().client()
}
