use vcluster_macros::vcluster_test;

#[vcluster_test]
const async fn constant() {}

#[vcluster_test]
async unsafe fn unchecked() {}

#[vcluster_test]
async extern "C" fn foreign() {}

fn main() {}
