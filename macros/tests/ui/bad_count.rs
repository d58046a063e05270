use vcluster_macros::vcluster_test;

#[vcluster_test(nodes = 0)]
async fn none() {}

#[vcluster_test(nodes = "2")]
async fn text() {}

#[vcluster_test(worker_threads = -1)]
async fn negative() {}

fn main() {}
