use vcluster_macros::vcluster_test;

#[vcluster_test(version)]
async fn word() {}

#[vcluster_test(version =)]
async fn half() {}

#[vcluster_test(distro("k8s"))]
async fn list() {}

fn main() {}
