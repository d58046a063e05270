use vcluster_macros::vcluster_test;
#[expect(unused_imports, reason = "the attribute is not expanded")]
use rstest::rstest;

#[vcluster_test]
#[rstest]
#[case(1)]
async fn test(#[case] size: u32) {}

fn main() {}
