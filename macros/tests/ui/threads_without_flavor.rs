use vcluster_macros::vcluster_test;

#[vcluster_test(flavor = "current_thread", worker_threads = 2)]
async fn test() {}

fn main() {}
