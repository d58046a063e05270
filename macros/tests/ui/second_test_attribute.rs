use vcluster_macros::vcluster_test;

#[vcluster_test]
#[tokio::test]
async fn runtime() {}

#[vcluster_test]
#[test]
async fn plain() {}

#[vcluster_test]
#[vcluster_test]
async fn twice() {}

fn main() {}
