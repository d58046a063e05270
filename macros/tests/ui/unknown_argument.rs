use vcluster_macros::vcluster_test;

#[vcluster_test(verison = "1.34")]
async fn near() {}

#[vcluster_test(colour = "blue")]
async fn far() {}

fn main() {}
