//! The parts of the set-up, one process at a time.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use vcluster_harness::{
    asset::{self, Assets, Component, Prefetched},
    host::{self, HostCluster},
    progress::Progress,
    settings::Settings,
    version::VersionRequest,
};

use super::{
    apt::{self, Apt},
    engine,
    machine::{self, Machine},
};
use crate::process;

/// Programs that builds from source need, and the Debian packages that have them.
const PROGRAMS: [(&str, &str); 2] = [("debootstrap", "debootstrap"), ("cc", "gcc")];

/// The machine could not be set up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum Error {
    /// No place for logs and locks.
    #[error("could not prepare {}", path.display())]
    Directory {
        /// The place.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A package could not be installed.
    #[error("could not install what builds from source need")]
    Packages(#[from] apt::Error),
    /// An image cannot be had.
    #[error("could not get what a host and its clusters need")]
    Assets(#[from] asset::Error),
    /// The host does not come up.
    #[error("could not bring up the host")]
    Host(#[from] host::Error),
    /// The second test runner could not be built.
    #[error("could not build cargo-nextest")]
    Nextest(#[source] process::Error),
    /// There is no engine.
    #[error(transparent)]
    Engine(#[from] engine::Error),
}

/// The engine and the programs for builds, where they are missing. Waits while another process does so.
pub(crate) async fn prepare_machine(settings: &Settings, progress: &Progress) -> Result<(), Error> {
    let directory = settings.cache.join("setup");
    let _lock = locked(&directory, progress)?;
    packages(progress, &directory)?;
    engine::ensure(progress, &directory).await?;
    Ok(())
}

/// The images of the host and of its clusters.
pub(crate) async fn prepare_images(
    settings: &Settings,
    assets: &Assets,
) -> Result<Prefetched, Error> {
    let version = assets.resolve(settings.host_version).await?;
    Ok(assets.prefetch(version).await?)
}

/// Versions of tenants in this project's own tests, whatever the host's is.
const TENANTS: [VersionRequest; 2] = [VersionRequest::Minor(1, 34), VersionRequest::Minor(1, 33)];

/// The programs of a control plane that are of its version.
const OF_A_VERSION: [Component; 2] = [Component::KubeApiserver, Component::KubeControllerManager];

/// What the tests of other versions need: a build in the middle of a test would slow down all others.
async fn prepare_tenants(assets: &Assets) -> Result<(), Error> {
    for tenant in TENANTS {
        let version = assets.resolve(tenant).await?;
        for component in OF_A_VERSION {
            assets.image(component, version).await?;
        }
    }
    Ok(())
}

/// Everything, down to a host that is up: what is wrong here would be wrong in every test.
pub(crate) async fn prepare_all(
    settings: &Settings,
    progress: &Progress,
) -> Result<HostCluster, Error> {
    prepare_machine(settings, progress).await?;
    let assets = Assets::new(settings, progress.clone());
    prepare_images(settings, &assets).await?;
    // Tests of stores and of other versions would otherwise build these within their own time.
    let version = assets.resolve(settings.host_version).await?;
    assets.image(Component::Kine, version).await?;
    prepare_tenants(&assets).await?;
    Ok(host::shared(settings, &assets, progress).await?)
}

fn packages(progress: &Progress, directory: &Path) -> Result<(), Error> {
    let missing: Vec<_> = PROGRAMS
        .into_iter()
        .filter(|(program, _)| machine::find_program(program).is_none())
        .map(|(_, package)| package)
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let machine = Machine::detect();
    if machine.is_root && machine.is_debian() {
        return Ok(Apt::new(progress, directory).install(&missing)?);
    }
    // Not fatal: where a registry can be reached nothing is built.
    progress.note(&format!(
        "{} missing: images can be downloaded but not built from source (on Debian: `sudo apt-get install {}`)",
        missing.join(" and "),
        missing.join(" ")
    ));
    Ok(())
}

/// The kernel releases the lock when the process ends, however it ends.
pub(super) fn locked(directory: &Path, progress: &Progress) -> Result<File, Error> {
    let lock = || {
        fs::create_dir_all(directory)?;
        let file = File::create(directory.join("lock"))?;
        if file.try_lock().is_err() {
            let step = progress.step("waiting for another set-up on this machine");
            file.lock()?;
            step.done();
        }
        Ok(file)
    };
    lock().map_err(|source| Error::Directory {
        path: directory.to_owned(),
        source,
    })
}
