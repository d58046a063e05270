use vcluster_macros::vcluster_test;

#[vcluster_test(flavor = "multi-thread")]
async fn test() {}

fn main() {}
