//! Gets the programs of control planes of the named Kubernetes versions, one version after the other:
//! `cargo run -p vcluster-harness --example prefetch_tenants 1.32 1.36`.

use anyhow::Context as _;
use vcluster_harness::{
    asset::{Assets, Component},
    progress::Progress,
    settings::Settings,
};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let progress = Progress::detect();
    let assets = Assets::new(&Settings::from_process()?, progress.clone());
    for request in std::env::args().skip(1) {
        let version = assets.resolve(request.parse()?).await?;
        for component in [Component::KubeApiserver, Component::KubeControllerManager] {
            let image = assets
                .image(component, version)
                .await
                .with_context(|| format!("could not get {} {version}", component.name()))?;
            progress.note(&format!("{}  ({})", image.reference, image.origin));
        }
    }
    Ok(())
}
