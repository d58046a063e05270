//! What stands in for the images of k3s and k0s, for tests that start clusters themselves.

use tempfile::TempDir;
use vcluster_harness::{
    asset::Assets, distro::Distro, progress::Progress, settings::Settings,
    version::KubernetesVersion,
};

/// Assets in which what stands in for a distro is where its image belongs, for as long as this lives.
pub(crate) struct StandIn {
    pub(crate) assets: Assets,
    _directory: TempDir,
}

impl StandIn {
    pub(crate) async fn of(
        distro: &dyn Distro,
        version: KubernetesVersion,
    ) -> anyhow::Result<Self> {
        let directory = TempDir::new()?;
        let settings = Settings::from_process()?;
        let parts = Assets::new(&settings, Progress::silent());
        let image = format!("{}-v{version}", distro.name());
        parts
            .stand_in(version)
            .await?
            .offer(directory.path(), &image)?;
        let settings = Settings {
            assets: Some(directory.path().to_owned()),
            ..settings
        };
        Ok(Self {
            assets: Assets::new(&settings, Progress::silent()),
            _directory: directory,
        })
    }
}
