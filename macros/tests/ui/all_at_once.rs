use vcluster_macros::vcluster_test;

#[vcluster_test(verison = "1.34", distro = "k9s", timeout = "soon", nodes = 0)]
#[test]
fn test<T>(cluster: &str) {}

fn main() {}
