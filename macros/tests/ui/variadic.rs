use vcluster_macros::vcluster_test;

#[vcluster_test]
async fn test(arguments: ...) {}

fn main() {}
