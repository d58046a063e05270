use vcluster_macros::vcluster_test;

#[vcluster_test]
fn test() {}

fn main() {}
