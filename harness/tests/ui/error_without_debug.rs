use vcluster_harness::testing::{TestSpec, run};

struct Failure;

async fn test() -> Result<(), Failure> {
    Ok(())
}

fn main() {
    let _ = run(TestSpec::new("ui", "test"), &[], async |_| Ok(test()));
}
