use vcluster_macros::vcluster_test;

#[vcluster_test(replicas = 2)]
async fn no_majority() {}

#[vcluster_test(replicas = 3, distro = "k3s")]
async fn another_distro() {}

#[vcluster_test(replicas = 3, store = "kine")]
async fn another_store() {}

fn main() {}
