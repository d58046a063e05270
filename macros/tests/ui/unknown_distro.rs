use vcluster_macros::vcluster_test;

#[vcluster_test(distro = "k9s")]
async fn test() {}

fn main() {}
