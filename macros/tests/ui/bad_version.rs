use vcluster_macros::vcluster_test;

#[vcluster_test(version = "newest")]
async fn test() {}

fn main() {}
