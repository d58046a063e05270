use rstest::rstest;
use vcluster_macros::vcluster_test;

#[rstest]
#[vcluster_test]
fn test() {}

fn main() {}
