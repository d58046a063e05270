use vcluster_macros::vcluster_test;

#[vcluster_test]
async fn borrowed(cluster: &String) {}

#[vcluster_test]
async fn opaque(cluster: impl Clone) {}

fn main() {}
