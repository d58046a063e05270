#[expect(unused_imports, reason = "the attribute is not expanded")]
use vcluster_macros::vcluster_test;
use rstest::rstest;

#[rstest]
#[case(1)]
#[vcluster_test]
async fn test(#[case] size: u32) {}

fn main() {}
