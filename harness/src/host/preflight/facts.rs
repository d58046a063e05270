//! What matters about the engine and the machine. Looking changes nothing.

use std::path::Path;

use bollard::models::{SystemInfo, SystemInfoCgroupVersionEnum};
use jiff::Timestamp;

use super::super::Error;
use crate::engine::Engine;

/// What the engine and this machine say of themselves. `None` is "not known from here".
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// Where the engine listens.
    pub endpoint: String,
    /// Its version, such as `26.1.5`.
    pub engine_version: Option<String>,
    /// 1 or 2.
    pub cgroup_version: Option<u8>,
    /// Does the engine run without root?
    pub is_rootless: bool,
    /// Limits that a rootless engine cannot set, by name.
    pub missing_controllers: Vec<&'static str>,
    /// May the engine raise resource limits?
    pub has_sys_resource: Option<bool>,
    /// How it keeps layers, such as `overlay2`.
    pub storage_driver: Option<String>,
    /// Its processors.
    pub cores: Option<u64>,
    /// Its memory in bytes.
    pub memory: Option<u64>,
    /// Free bytes where it keeps its data.
    pub free_disk: Option<u64>,
    /// How far its clock is ahead of ours, in seconds.
    pub clock_ahead: Option<i64>,
    /// How many networks it has.
    pub networks: usize,
    /// `fs.inotify.max_user_instances`.
    pub inotify_instances: Option<u64>,
    /// `fs.inotify.max_user_watches`.
    pub inotify_watches: Option<u64>,
}

impl Facts {
    /// Asks the engine and this machine.
    ///
    /// # Errors
    /// The engine does not answer.
    pub async fn gather(engine: &Engine) -> Result<Self, Error> {
        let docker = engine.docker();
        let asked = Timestamp::now();
        let info = docker.info().await;
        let info = info.map_err(Error::engine("describe", "itself"))?;
        let networks = docker.list_networks(None).await;
        let networks = networks.map_err(Error::engine("list", "networks"))?;
        // Only where the engine shares this machine's kernel do its files say anything.
        let is_here = engine.is_local() && cfg!(target_os = "linux");
        let limit = |name: &str| {
            let path = Path::new("/proc/sys/fs/inotify").join(name);
            let text = std::fs::read_to_string(path).ok().filter(|_| is_here)?;
            text.trim().parse().ok()
        };
        Ok(Self {
            endpoint: engine.endpoint().to_owned(),
            cgroup_version: match info.cgroup_version {
                Some(SystemInfoCgroupVersionEnum::_1) => Some(1),
                Some(SystemInfoCgroupVersionEnum::_2) => Some(2),
                _ => None,
            },
            is_rootless: has_option(&info, "rootless"),
            missing_controllers: missing_controllers(&info),
            has_sys_resource: is_here.then(sys_resource).flatten(),
            cores: info.ncpu.and_then(|cores| cores.try_into().ok()),
            memory: info.mem_total.and_then(|bytes| bytes.try_into().ok()),
            free_disk: info
                .docker_root_dir
                .as_deref()
                .filter(|_| is_here)
                .and_then(|directory| free(Path::new(directory)).ok()),
            clock_ahead: info
                .system_time
                .and_then(|time| time.parse::<Timestamp>().ok())
                .map(|time| time.as_second() - asked.as_second()),
            networks: networks.len(),
            inotify_instances: limit("max_user_instances"),
            inotify_watches: limit("max_user_watches"),
            storage_driver: info.driver,
            engine_version: info.server_version,
        })
    }
}

/// Free bytes on the disk of a directory.
///
/// # Errors
/// It cannot be looked at.
pub fn free(directory: &Path) -> std::io::Result<u64> {
    let disk = rustix::fs::statvfs(directory)?;
    Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
}

fn has_option(info: &SystemInfo, name: &str) -> bool {
    let options = info.security_options.iter().flatten();
    options
        .flat_map(|option| option.split(','))
        .any(|part| part.strip_prefix("name=") == Some(name))
}

fn missing_controllers(info: &SystemInfo) -> Vec<&'static str> {
    [
        ("memory", info.memory_limit),
        ("pids", info.pids_limit),
        ("cpu", info.cpu_shares),
    ]
    .into_iter()
    .filter(|(_, is_there)| *is_there == Some(false))
    .map(|(name, _)| name)
    .collect()
}

/// Root's own capability stands for the engine's; other users cannot tell.
fn sys_resource() -> Option<bool> {
    const BIT: u32 = 24;
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))?;
    let capabilities = u64::from_str_radix(line.trim(), 16).ok()?;
    Some(capabilities & (1 << BIT) != 0)
}
