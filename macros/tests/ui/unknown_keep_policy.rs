use vcluster_macros::vcluster_test;

#[vcluster_test(keep = "on-failure")]
async fn test() {}

fn main() {}
