//! Under rstest: both spellings, cases, values, fixtures of both kinds.

use rstest::{fixture, rstest};
use vcluster_harness as vcluster;
use vcluster_harness::{
    testing::{self, TestInfo},
    vcluster_test,
};

use crate::pretend::{Client, Cluster};

/// A fixture of rstest that finds the cluster of the running test.
#[fixture]
fn cluster() -> Cluster {
    let current = testing::current::<Cluster>().expect("is called by a test");
    current.clusters[0].clone()
}

#[fixture]
async fn greeting() -> String {
    tokio::task::yield_now().await;
    "hello".to_owned()
}

#[rstest]
#[case::small(1)]
#[case::large(9)]
#[vcluster::test(crate = crate::pretend)]
async fn the_path_that_ends_in_test(cluster: Cluster, #[case] size: u32) {
    assert_eq!(cluster, Cluster(0));
    assert!([1, 9].contains(&size));
}

#[rstest]
#[case::small(1)]
#[case::large(9)]
#[test_attr(vcluster_test(crate = crate::pretend))]
async fn the_attribute_named_to_rstest(cluster: Cluster, #[case] size: u32) {
    assert_eq!(cluster, Cluster(0));
    assert!([1, 9].contains(&size));
}

#[rstest]
#[case::small(1)]
#[vcluster::test(crate = crate::pretend)]
async fn arguments_that_rstest_leaves_to_us(
    #[ignore] left: Cluster,
    #[case] size: u32,
    #[ignore] right: Cluster,
    #[ignore] client: Client,
) {
    assert_eq!(
        (left, right, client.cluster, size),
        (Cluster(0), Cluster(1), 1, 1)
    );
}

#[rstest]
#[vcluster::test(crate = crate::pretend)]
async fn a_fixture_that_is_awaited(
    cluster: Cluster,
    #[future(awt)] greeting: String,
    #[values(1, 2)] size: u32,
) -> anyhow::Result<()> {
    anyhow::ensure!(cluster == Cluster(0) && greeting == "hello" && size < 3);
    Ok(())
}

#[rstest]
#[case::first(1)]
#[vcluster::test(crate = crate::pretend)]
async fn a_case_is_called_as_cargo_calls_it(#[ignore] test: TestInfo, #[case] size: u32) {
    assert_eq!(
        test.path,
        "cases::a_case_is_called_as_cargo_calls_it::case_1_first"
    );
    assert_eq!(size, 1);
}

#[rstest]
#[case(1)]
#[should_panic(expected = "size 1")]
#[vcluster::test(crate = crate::pretend)]
async fn a_wanted_panic(cluster: Cluster, #[case] size: u32) {
    panic!("{cluster:?} of size {size}");
}
