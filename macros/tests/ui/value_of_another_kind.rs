use vcluster_macros::vcluster_test;

#[vcluster_test(version = 1.34)]
async fn number() {}

const LATEST: &str = "latest";

#[vcluster_test(version = LATEST)]
async fn constant() {}

fn main() {}
