//! Gets everything that a cluster of a Kubernetes version needs, and says where it came from:
//! `cargo run -p vcluster-harness --example prefetch [VERSION]`.

use anyhow::Context as _;
use vcluster_harness::{asset::Assets, progress::Progress, settings::Settings};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let request = std::env::args().nth(1).unwrap_or_else(|| "1.34".to_owned());
    let progress = Progress::detect();
    let assets = Assets::new(&Settings::from_process()?, progress.clone());
    let version = assets.resolve(request.parse()?).await?;
    let fetched = assets
        .prefetch(version)
        .await
        .with_context(|| format!("could not get all that Kubernetes {version} needs"))?;
    let (node, took) = fetched.node;
    progress.note(&format!(
        "{:6.1} s  {}  ({})",
        took.as_secs_f64(),
        node.reference,
        node.origin
    ));
    for (_, image, took) in fetched.images {
        progress.note(&format!(
            "{:6.1} s  {}  ({})",
            took.as_secs_f64(),
            image.reference,
            image.origin
        ));
    }
    Ok(())
}
