//! What is looked at. Changes nothing but for a file that is written to the cache and removed again.

use std::{
    fs, iter,
    path::{Path, PathBuf},
};

use jiff::Timestamp;
use vcluster_harness::{engine::Engine, host::kind, settings::Settings};

/// Everything that was found out.
#[derive(Debug, Clone)]
pub(crate) struct Facts {
    /// The engine, or why there is none: the whole chain of causes.
    pub(crate) engine: Result<EngineFacts, String>,
    pub(crate) cache: CacheFacts,
    /// `fs.inotify.max_user_instances`, where there is such a thing.
    pub(crate) inotify_instances: Option<u64>,
    /// `fs.inotify.max_user_watches`, where there is such a thing.
    pub(crate) inotify_watches: Option<u64>,
    /// Programs that a build from source needs and that are not there.
    pub(crate) missing_programs: Vec<&'static str>,
}

/// What an engine says of itself.
#[derive(Debug, Clone)]
pub(crate) struct EngineFacts {
    pub(crate) endpoint: String,
    pub(crate) version: String,
    pub(crate) cgroup: String,
    pub(crate) storage_driver: String,
    pub(crate) cores: u64,
    pub(crate) memory: u64,
    /// Free bytes where it keeps images, if that is on this machine.
    pub(crate) free: Option<u64>,
    /// How far its clock is ahead of ours, in seconds.
    pub(crate) clock_ahead: i64,
    pub(crate) networks: usize,
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
            inotify_instances: limit("max_user_instances"),
            inotify_watches: limit("max_user_watches"),
            missing_programs: ["go", "cc", "debootstrap"]
                .into_iter()
                .filter(|program| !is_there(program))
                .collect(),
        }
    }
}

async fn engine() -> Result<EngineFacts, String> {
    let engine = Engine::connect().await.map_err(chain)?;
    let docker = engine.docker();
    let asked = Timestamp::now();
    let info = docker.info().await.map_err(chain)?;
    let networks = docker.list_networks(None).await.map_err(chain)?;
    let hosts = kind::list(&engine).await.map_err(chain)?;
    let clock = info
        .system_time
        .and_then(|time| time.parse::<Timestamp>().ok());
    let root = info.docker_root_dir.map(PathBuf::from);
    Ok(EngineFacts {
        endpoint: engine.endpoint().to_owned(),
        version: info.server_version.unwrap_or_default(),
        cgroup: info
            .cgroup_version
            .map(|version| version.to_string())
            .unwrap_or_default(),
        storage_driver: info.driver.unwrap_or_default(),
        cores: info
            .ncpu
            .and_then(|cores| cores.try_into().ok())
            .unwrap_or(0),
        memory: info
            .mem_total
            .and_then(|bytes| bytes.try_into().ok())
            .unwrap_or(0),
        free: root
            .filter(|root| engine.is_local() && root.is_dir())
            .and_then(|root| free(&root).ok()),
        clock_ahead: clock.map_or(0, |clock| clock.as_second() - asked.as_second()),
        networks: networks.len(),
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
    free(cache).map_err(|error| error.to_string())
}

fn free(path: &Path) -> Result<u64, rustix::io::Errno> {
    let found = rustix::fs::statvfs(path)?;
    Ok(found.f_bavail * found.f_frsize)
}

fn limit(name: &str) -> Option<u64> {
    let text = fs::read_to_string(Path::new("/proc/sys/fs/inotify").join(name)).ok()?;
    text.trim().parse().ok()
}

fn is_there(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(iter::once("/usr/sbin".into()))
        .any(|directory| directory.join(program).is_file())
}
