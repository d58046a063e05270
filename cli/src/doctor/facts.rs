//! What is looked at. Changes nothing but for a file that is written to the cache and removed again.

use std::{
    fs, iter,
    path::{Path, PathBuf},
};

use vcluster_harness::{
    engine::Engine,
    host::{kind, preflight},
    settings::Settings,
};

/// Everything that was found out.
#[derive(Debug, Clone)]
pub(crate) struct Facts {
    /// The engine, or why there is none: the whole chain of causes.
    pub(crate) engine: Result<EngineFacts, String>,
    pub(crate) cache: CacheFacts,
    /// Programs that a build from source needs and that are not there.
    pub(crate) missing_programs: Vec<&'static str>,
}

/// What an engine says of itself.
#[derive(Debug, Clone)]
pub(crate) struct EngineFacts {
    /// Whether hosts can run there.
    pub(crate) preflight: preflight::Facts,
    /// Kind clusters that it carries, and whether they run.
    pub(crate) hosts: Vec<(String, bool)>,
}

/// The place for images and binaries.
#[derive(Debug, Clone)]
pub(crate) struct CacheFacts {
    pub(crate) path: PathBuf,
    /// Free bytes, or why it cannot be written.
    pub(crate) free: Result<u64, String>,
}

impl Facts {
    /// Looks at this machine.
    pub(crate) async fn gather(settings: &Settings) -> Self {
        Self {
            engine: engine().await,
            cache: CacheFacts {
                free: writable(&settings.cache),
                path: settings.cache.clone(),
            },
            missing_programs: ["go", "cc", "debootstrap"]
                .into_iter()
                .filter(|program| !is_there(program))
                .collect(),
        }
    }
}

async fn engine() -> Result<EngineFacts, String> {
    let engine = Engine::connect().await.map_err(chain)?;
    let preflight = preflight::Facts::gather(&engine).await.map_err(chain)?;
    let hosts = kind::list(&engine).await.map_err(chain)?;
    Ok(EngineFacts {
        preflight,
        hosts: hosts
            .into_iter()
            .map(|host| (host.name.clone(), host.is_running()))
            .collect(),
    })
}

fn chain(error: impl std::error::Error + Send + Sync + 'static) -> String {
    format!("{:#}", anyhow::Error::new(error))
}

fn writable(cache: &Path) -> Result<u64, String> {
    let probe = cache.join(format!(".doctor-{}", std::process::id()));
    fs::create_dir_all(cache)
        .and_then(|()| fs::write(&probe, b"doctor"))
        .and_then(|()| fs::remove_file(&probe))
        .map_err(|error| error.to_string())?;
    preflight::free(cache).map_err(|error| error.to_string())
}

fn is_there(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(iter::once("/usr/sbin".into()))
        .any(|directory| directory.join(program).is_file())
}
