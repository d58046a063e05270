use vcluster_harness::testing::{TestSpec, run};

async fn test() -> u32 {
    7
}

fn main() {
    run(TestSpec::new("ui", "test"), &[], async |_| Ok(test()));
}
