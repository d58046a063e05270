//! The machine that figures were measured on: they mean nothing without it.

use std::fmt;

use bollard::{Docker, models::SystemInfoCgroupVersionEnum};
use serde::Serialize;
use sysinfo::{CpuRefreshKind, MemoryRefreshKind, RefreshKind, System};

/// What one has to know to read a figure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Machine {
    pub(crate) cpu: String,
    pub(crate) cores: usize,
    pub(crate) memory_gb: u64,
    pub(crate) kernel: String,
    pub(crate) cgroup: String,
    pub(crate) engine: String,
    pub(crate) storage_driver: String,
    /// The host's Kubernetes.
    pub(crate) kubernetes: String,
}

impl Machine {
    /// Asks this machine and its engine.
    pub(crate) async fn detect(docker: &Docker, kubernetes: &str) -> anyhow::Result<Self> {
        let system = System::new_with_specifics(
            RefreshKind::nothing()
                .with_cpu(CpuRefreshKind::nothing())
                .with_memory(MemoryRefreshKind::nothing().with_ram()),
        )?;
        let engine = docker.info().await?;
        let cpus = system.cpus();
        Ok(Self {
            cpu: cpus
                .first()
                .map_or("unknown", |cpu| cpu.brand())
                .trim()
                .to_owned(),
            cores: cpus.len(),
            memory_gb: system.total_memory().div_ceil(1 << 30),
            kernel: System::kernel_version().unwrap_or_default(),
            cgroup: match engine.cgroup_version {
                Some(SystemInfoCgroupVersionEnum::_1) => "v1",
                Some(SystemInfoCgroupVersionEnum::_2) => "v2",
                _ => "unknown",
            }
            .to_owned(),
            engine: engine.server_version.unwrap_or_default(),
            storage_driver: engine.driver.unwrap_or_default(),
            kubernetes: kubernetes.to_owned(),
        })
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}, {} cores, {} GB, Linux {}, cgroup {}, Docker {} ({}), host Kubernetes {}",
            self.cpu,
            self.cores,
            self.memory_gb,
            self.kernel,
            self.cgroup,
            self.engine,
            self.storage_driver,
            self.kubernetes
        )
    }
}
