use vcluster_macros::vcluster_test;

#[vcluster_test(crate = "not a path")]
async fn text() {}

#[vcluster_test(crate = 7)]
async fn number() {}

fn main() {}
