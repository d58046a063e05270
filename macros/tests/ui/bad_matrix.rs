use vcluster_macros::vcluster_test;

#[vcluster_test(matrix(distros = ["k8s"], version = "1.34"))]
async fn names_and_values() {}

#[vcluster_test(matrix(distro = ["k9s", "k3s"], version = ["newest", 1.34]))]
async fn elements() {}

#[vcluster_test(matrix(version = ["1.34", "v1.34"]))]
async fn twice() {}

#[vcluster_test(matrix = "all")]
async fn text() {}

fn main() {}
