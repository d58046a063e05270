//! What each distro costs: the time to the first pod that can be created, and memory. k3s and k0s are stood in
//! for where their images cannot be had, and the figures are called after what was measured.

use std::time::Instant;

use anyhow::Context as _;
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, api::PostParams};
use tempfile::TempDir;
use vcluster_harness::{
    asset::{Assets, Component},
    cluster::VirtualCluster,
    distro::{self, Distro},
    progress::Progress,
    settings::Settings,
    version::KubernetesVersion,
};

use super::{
    cluster::{Bench, REST, owner},
    measurement::{Figures, Unit},
    objects,
};

/// A directory of assets in which a stand-in has the names of k3s and k0s.
#[derive(Debug)]
pub(crate) struct StandIns {
    pub(crate) directory: TempDir,
}

impl StandIns {
    /// Those of these versions.
    pub(crate) async fn offer(
        assets: &Assets,
        versions: &[KubernetesVersion],
    ) -> anyhow::Result<Self> {
        let directory = tempfile::tempdir()?;
        for version in versions {
            let stand_in = assets.stand_in(*version).await?;
            for distro in distro::all()
                .iter()
                .filter(|distro| is_stood_in_for(**distro))
            {
                stand_in.offer(directory.path(), &format!("{}-v{version}", distro.name()))?;
            }
        }
        Ok(Self { directory })
    }

    /// Assets that find them.
    pub(crate) fn assets(&self, settings: &Settings) -> Assets {
        let settings = Settings {
            assets: Some(self.directory.path().to_owned()),
            ..settings.clone()
        };
        Assets::new(&settings, Progress::silent())
    }
}

impl Bench<'_> {
    /// Measures a cluster of each distro and deletes it, also when something failed.
    pub(crate) async fn measure_distros(
        &self,
        assets: &Assets,
        name: &str,
        figures: &mut Figures,
    ) -> anyhow::Result<()> {
        for distro in distro::all() {
            let name = format!("{name}-{}", distro.name());
            Box::pin(self.measure_distro(*distro, assets, &name, figures)).await?;
        }
        Ok(())
    }

    async fn measure_distro(
        &self,
        distro: &'static dyn Distro,
        assets: &Assets,
        name: &str,
        figures: &mut Figures,
    ) -> anyhow::Result<()> {
        let called = Instant::now();
        let cluster = VirtualCluster::builder(name)
            .owner(owner()?)
            .distro(distro)
            .start(self.host, assets);
        let cluster = Box::pin(cluster).await?;
        let measured = async {
            let pods: Api<Pod> = Api::default_namespaced(cluster.client());
            let first = objects::sleeper("first", self.image);
            pods.create(&PostParams::default(), &first).await?;
            let elapsed = called.elapsed().as_secs_f64();
            tokio::time::sleep(REST).await;
            let resident = self.resident(&cluster).await?;
            anyhow::Ok((elapsed, resident.values().sum::<f64>()))
        };
        let measured = measured.await;
        cluster.delete().await?;
        let (elapsed, resident) = measured?;
        let name = figure(distro);
        figures.add(&format!("{name}.first_pod_created"), Unit::Seconds, elapsed);
        figures.add(&format!("{name}.memory"), Unit::Megabytes, resident);
        Ok(())
    }
}

/// What the harness asks of every image, before anything is measured: that the host has it.
pub(crate) async fn load(
    bench: &Bench<'_>,
    assets: &Assets,
    versions: &[KubernetesVersion],
) -> anyhow::Result<()> {
    for version in versions {
        for component in [
            Component::KubeApiserver,
            Component::KubeControllerManager,
            Component::K3s,
            Component::K0s,
        ] {
            let image = assets.image(component, *version).await;
            let image = image.with_context(|| format!("no {component} {version}"))?;
            bench.host.load(&[image]).await?;
        }
    }
    Ok(())
}

/// The official images of these come from registries alone.
fn is_stood_in_for(distro: &dyn Distro) -> bool {
    distro.name() != distro::DEFAULT.name()
}

fn figure(distro: &dyn Distro) -> String {
    let suffix = if is_stood_in_for(distro) {
        "_stand_in"
    } else {
        ""
    };
    format!("distro.{}{suffix}", distro.name())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_says_what_was_measured() {
        let names: Vec<_> = distro::all().iter().map(|distro| figure(*distro)).collect();
        let expected = ["distro.k8s", "distro.k3s_stand_in", "distro.k0s_stand_in"];
        assert_eq!(names, expected);
    }
}
