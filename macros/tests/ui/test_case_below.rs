use vcluster_macros::vcluster_test;

#[vcluster_test]
#[test_case::test_case(1)]
async fn test(size: u32) {}

fn main() {}
