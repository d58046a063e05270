use vcluster_macros::vcluster_test;

#[vcluster_test(timeout = "300")]
async fn no_unit() {}

#[vcluster_test(timeout = "0s")]
async fn no_time() {}

fn main() {}
