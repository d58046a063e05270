use vcluster_macros::vcluster_test;

#[vcluster_test(distro = "k8s", version = "1.34", distro = "k3s")]
async fn test() {}

fn main() {}
