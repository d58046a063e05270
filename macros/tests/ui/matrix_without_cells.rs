use vcluster_macros::vcluster_test;

#[vcluster_test(matrix())]
async fn no_axis() {}

#[vcluster_test(matrix(distro = []))]
async fn no_value() {}

#[vcluster_test(matrix(distro = ["k8s"], exclude(distro = "k8s")))]
async fn nothing_left() {}

fn main() {}
