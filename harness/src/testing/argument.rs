//! The arguments of a test: asked for by type, in any order, under any name.

use std::{error::Error, fmt, pin::Pin};

use super::spec::TestInfo;

/// Why an argument could not be made.
pub type ArgumentError = Box<dyn Error + Send + Sync>;

/// What an argument needs of the test's clusters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// A cluster that no argument before it has.
    NewCluster,
    /// The cluster of the argument before it that has one; the test's first when there is none.
    TheCluster,
}

/// A type that a test may have as an argument.
///
/// Each `VirtualCluster` among the arguments is a cluster of its own. Everything else belongs to the
/// nearest `VirtualCluster` on its left, or to the first cluster when there is none on its left. A test
/// without a `VirtualCluster` among its arguments has one cluster.
///
/// Implement it for a type of your own to prepare what several tests need:
///
/// ```no_run
/// # use vcluster_harness::{cluster::VirtualCluster, testing::{Argument, ArgumentError, TestInfo}};
/// struct Guestbook {
///     client: kube::Client,
/// }
///
/// impl Argument for Guestbook {
///     async fn of(cluster: &VirtualCluster, _: &TestInfo) -> Result<Self, ArgumentError> {
///         let client = cluster.client();
///         // Install the custom resource, start the operator …
///         Ok(Self { client })
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "a test cannot ask for a `{Self}`",
    label = "not something a test can be given",
    note = "arguments are made by their types: `VirtualCluster`, `kube::Client`, `Kubeconfig`, `TestInfo`",
    note = "implement `vcluster_harness::testing::Argument` for a type of your own",
    note = "under `#[rstest]` every argument that is not rstest's own is marked `#[ignore]`"
)]
pub trait Argument<C = crate::cluster::VirtualCluster>: Sized + 'static {
    /// What it needs of the test's clusters.
    const NEED: Need = Need::TheCluster;

    /// Makes it from the cluster that is its own.
    fn of(cluster: &C, test: &TestInfo) -> impl Future<Output = Result<Self, ArgumentError>>;
}

impl<C> Argument<C> for TestInfo {
    async fn of(_: &C, test: &TestInfo) -> Result<Self, ArgumentError> {
        Ok(test.clone())
    }
}

/// The making of an argument, under way.
type Making<'a, T> = Pin<Box<dyn Future<Output = Result<T, ArgumentError>> + 'a>>;

/// The place of an argument in a test: what it needs, and how it is made. Only its making asks for
/// [`Argument`], so that a type which is none has one error of the compiler, where it stands.
pub struct Slot<T, C = crate::cluster::VirtualCluster> {
    need: Need,
    make: for<'a> fn(&'a C, &'a TestInfo) -> Making<'a, T>,
}

impl<T, C> Slot<T, C> {
    /// The place of an argument of this type.
    pub fn new() -> Self
    where
        T: Argument<C>,
    {
        Self {
            need: T::NEED,
            make: |cluster, test| Box::pin(T::of(cluster, test)),
        }
    }

    /// What the argument needs of the test's clusters.
    pub fn need(&self) -> Need {
        self.need
    }
}

impl<T: Argument<C>, C> Default for Slot<T, C> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T, C> fmt::Debug for Slot<T, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Slot")
            .field("need", &self.need)
            .finish_non_exhaustive()
    }
}

/// The place of an argument in a test of virtual clusters. The attribute's expansion calls it.
pub fn slot<T: Argument>() -> Slot<T> {
    Slot::new()
}

/// Hands a test its arguments, one after the other. The attribute's expansion calls it.
#[derive(Debug)]
pub struct Given<'a, C> {
    clusters: &'a [C],
    test: &'a TestInfo,
    /// Which cluster belongs to each of the arguments that are still to come.
    owners: std::vec::IntoIter<usize>,
}

impl<'a, C> Given<'a, C> {
    pub(super) fn new(needs: &[Need], clusters: &'a [C], test: &'a TestInfo) -> Self {
        Self {
            clusters,
            test,
            owners: owners(needs).into_iter(),
        }
    }

    /// The next argument.
    ///
    /// # Errors
    /// It cannot be made.
    pub async fn next<T>(&mut self, slot: &Slot<T, C>) -> Result<T, ArgumentError> {
        let owner = self.owners.next().unwrap_or_default();
        (slot.make)(&self.clusters[owner], self.test).await
    }
}

/// How many clusters these arguments ask for. Every test has one at least.
pub(super) fn count(needs: &[Need]) -> usize {
    let own = needs.iter().filter(|need| **need == Need::NewCluster);
    own.count().max(1)
}

/// Which cluster belongs to which argument.
fn owners(needs: &[Need]) -> Vec<usize> {
    let mut clusters = 0;
    needs
        .iter()
        .map(|need| {
            clusters += usize::from(*need == Need::NewCluster);
            clusters.saturating_sub(1)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::{
        Need::{NewCluster, TheCluster},
        *,
    };

    #[rstest]
    #[case::nothing(&[], 1, &[])]
    #[case::a_client_alone(&[TheCluster], 1, &[0])]
    #[case::one(&[NewCluster, TheCluster], 1, &[0, 0])]
    #[case::the_client_first(&[TheCluster, NewCluster], 1, &[0, 0])]
    #[case::two(&[NewCluster, TheCluster, NewCluster, TheCluster], 2, &[0, 0, 1, 1])]
    #[case::two_and_then_clients(&[NewCluster, NewCluster, TheCluster, TheCluster], 2, &[0, 1, 1, 1])]
    fn arguments_belong_to_the_cluster_on_their_left(
        #[case] needs: &[Need],
        #[case] clusters: usize,
        #[case] expected: &[usize],
    ) {
        assert_eq!(count(needs), clusters);
        assert_eq!(owners(needs), expected);
    }
}
