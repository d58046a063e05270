//! The attribute injects by type.

use vcluster_harness::{testing::TestInfo, vcluster_test};

use crate::pretend::{Client, Cluster};

#[vcluster_test(crate = crate::pretend)]
async fn one_cluster_and_its_client(cluster: Cluster, client: Client) {
    assert_eq!((cluster, client.cluster), (Cluster(0), 0));
}

#[vcluster_test(crate = crate::pretend)]
async fn a_client_alone_has_a_cluster(client: Client) {
    assert_eq!(client.cluster, 0);
}

#[vcluster_test(crate = crate::pretend)]
async fn two_clusters_and_their_clients(
    early: Client,
    left: Cluster,
    left_client: Client,
    right: Cluster,
    right_client: Client,
) {
    assert_eq!((left.0, left_client.cluster, early.cluster), (0, 0, 0));
    assert_eq!((right.0, right_client.cluster), (1, 1));
}

#[vcluster_test(
    crate = "crate::pretend",
    distro = "k8s",
    version = "1.34",
    timeout = "90s",
    nodes = 2
)]
async fn a_test_knows_what_its_attribute_says(test: TestInfo) {
    assert_eq!(test.path, "arguments::a_test_knows_what_its_attribute_says");
    assert_eq!(test.crate_name, "testing");
    assert_eq!(
        (test.spec.distro, test.spec.version),
        (Some("k8s"), Some("1.34"))
    );
    assert_eq!(
        (test.spec.timeout.as_secs(), test.spec.nodes),
        (90, Some(2))
    );
}

#[vcluster_test(crate = crate::pretend)]
async fn any_pattern_will_do(Client { cluster }: Client, mut _unused: Cluster, _: TestInfo) {
    assert_eq!(cluster, 0);
}

#[vcluster_test(crate = crate::pretend, flavor = "current_thread")]
async fn a_runtime_of_one_thread() {
    let flavor = tokio::runtime::Handle::current().runtime_flavor();
    assert_eq!(flavor, tokio::runtime::RuntimeFlavor::CurrentThread);
}

#[vcluster_test(crate = crate::pretend, worker_threads = 3)]
async fn a_runtime_of_three_threads() {
    assert_eq!(tokio::runtime::Handle::current().metrics().num_workers(), 3);
}
