use vcluster_macros::vcluster_test;

#[vcluster_test(distro = "k8s", version = "1.34", matrix(distro = ["k8s"], version = ["1.34"]))]
async fn test() {}

fn main() {}
