use vcluster_macros::vcluster_test;

#[tokio::test]
#[vcluster_test]
async fn test() {}

fn main() {}
