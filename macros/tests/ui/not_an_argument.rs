use vcluster_macros::vcluster_test;

#[vcluster_test("1.34")]
async fn test() {}

fn main() {}
