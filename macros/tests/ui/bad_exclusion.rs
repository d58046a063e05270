use vcluster_macros::vcluster_test;

#[vcluster_test(matrix(distro = ["k8s", "k3s"], exclude(distro = "k0s")))]
async fn of_nothing() {}

#[vcluster_test(matrix(distro = ["k8s", "k3s"], exclude(flavor = "k3s")))]
async fn by_another_name() {}

fn main() {}
