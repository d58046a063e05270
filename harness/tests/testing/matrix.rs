//! A matrix is a module of tests, named after their cells.

use rstest::rstest;
use vcluster_harness as vcluster;
use vcluster_harness::{testing::TestInfo, vcluster_test};

use crate::pretend::Cluster;

#[vcluster_test(crate = crate::pretend, matrix(distro = ["k8s", "k3s"], version = ["1.34", "latest-1"]))]
async fn each_cell_knows_what_it_is(_: Cluster, test: TestInfo) {
    let (distro, version) = (test.spec.distro.unwrap(), test.spec.version.unwrap());
    let cell = format!("{distro}_{version}").replace(['.', '-'], "_");
    assert_eq!(
        test.path,
        format!("matrix::each_cell_knows_what_it_is::{cell}")
    );
}

#[vcluster_test(crate = crate::pretend, version = "1.34", matrix(distro = ["k8s", "k0s"], exclude(distro = "k0s")))]
async fn an_excluded_cell_is_no_test(test: TestInfo) {
    assert_eq!(
        (test.spec.distro, test.spec.version),
        (Some("k8s"), Some("1.34"))
    );
}

#[vcluster_test(crate = crate::pretend, matrix(version = ["1.33", "1.34"]))]
#[should_panic(expected = "boom")]
#[expect(
    unused_variables,
    reason = "shows that the expectation reaches the body"
)]
async fn attributes_are_for_every_cell(cluster: Cluster) {
    panic!("boom");
}

#[rstest]
#[case::small(1)]
#[vcluster::test(crate = crate::pretend, matrix(distro = ["k8s", "k3s"]))]
async fn cases_have_cells(#[ignore] test: TestInfo, #[case] size: u32) -> anyhow::Result<()> {
    let module = "matrix::cases_have_cells::case_1_small";
    anyhow::ensure!(test.path == format!("{module}::{}", test.spec.distro.unwrap()) && size == 1);
    Ok(())
}
