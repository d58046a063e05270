//! Whether this machine can run hosts: facts are gathered in one place and judged by a pure function, so
//! that each judgement has a test.

use bollard::models::{SystemInfo, SystemInfoCgroupVersionEnum};

use super::Error;
use crate::{engine::Engine, version::KubernetesVersion};

/// What matters about the engine and the machine. `None` is "not known from here".
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// The engine's version, such as `26.1.5`.
    pub engine_version: Option<String>,
    /// 1 or 2.
    pub cgroup_version: Option<u8>,
    /// Does the engine run without root?
    pub is_rootless: bool,
    /// Limits that a rootless engine cannot set, by name.
    pub missing_controllers: Vec<&'static str>,
    /// May the engine raise resource limits?
    pub has_sys_resource: Option<bool>,
    /// `fs.inotify.max_user_instances`.
    pub inotify_instances: Option<u64>,
    /// `fs.inotify.max_user_watches`.
    pub inotify_watches: Option<u64>,
    /// Free bytes where the engine keeps its data.
    pub free_disk: Option<u64>,
    /// The engine's memory in bytes.
    pub memory: Option<u64>,
    /// The Kubernetes of the host.
    pub kubelet: KubernetesVersion,
}

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// As it should be.
    Good,
    /// It works, and may cost time or fail under load.
    Warning,
    /// No host can run.
    Fault,
}

/// What was found about one thing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The thing, such as `cgroup`.
    pub check: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// What is so.
    pub text: String,
    /// What to do about it: a command where there is one.
    pub fix: Option<String>,
}

const INOTIFY_INSTANCES: u64 = 512;
const INOTIFY_WATCHES: u64 = 524_288;
const GIB: u64 = 1 << 30;
/// A node with its images, and a few clusters on it.
const LEAST_DISK: u64 = 5 * GIB;
const USUAL_DISK: u64 = 15 * GIB;
const LEAST_MEMORY: u64 = 3 * GIB;

/// Judges the facts: one finding per check, good ones included.
pub fn check(facts: &Facts) -> Vec<Finding> {
    [
        engine(facts),
        cgroup(facts),
        rootless(facts),
        inotify(facts),
        disk(facts),
        memory(facts),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Asks the engine and this machine.
///
/// # Errors
/// The engine does not answer.
pub async fn gather(engine: &Engine, kubelet: KubernetesVersion) -> Result<Facts, Error> {
    let info = engine
        .docker()
        .info()
        .await
        .map_err(Error::engine("describe", "itself"))?;
    // Only where the engine shares this machine's kernel do its files say anything.
    let is_here = engine.is_local() && cfg!(target_os = "linux");
    let number = |path: &str| {
        let text = std::fs::read_to_string(path).ok().filter(|_| is_here)?;
        text.trim().parse().ok()
    };
    Ok(Facts {
        cgroup_version: match info.cgroup_version {
            Some(SystemInfoCgroupVersionEnum::_1) => Some(1),
            Some(SystemInfoCgroupVersionEnum::_2) => Some(2),
            _ => None,
        },
        is_rootless: has_option(&info, "rootless"),
        missing_controllers: missing_controllers(&info),
        has_sys_resource: is_here.then(sys_resource).flatten(),
        inotify_instances: number("/proc/sys/fs/inotify/max_user_instances"),
        inotify_watches: number("/proc/sys/fs/inotify/max_user_watches"),
        free_disk: info
            .docker_root_dir
            .as_deref()
            .filter(|_| is_here)
            .and_then(|dir| rustix::fs::statvfs(dir).ok())
            .map(|disk| disk.f_bavail.saturating_mul(disk.f_frsize)),
        memory: info.mem_total.and_then(|bytes| u64::try_from(bytes).ok()),
        engine_version: info.server_version,
        kubelet,
    })
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

#[expect(
    clippy::unnecessary_wraps,
    reason = "every check says what it found, if anything"
)]
fn finding(
    check: &'static str,
    severity: Severity,
    text: impl Into<String>,
    fix: Option<&str>,
) -> Option<Finding> {
    Some(Finding {
        check,
        severity,
        text: text.into(),
        fix: fix.map(str::to_owned),
    })
}

fn engine(facts: &Facts) -> Option<Finding> {
    const CHECK: &str = "docker engine";
    let version = facts.engine_version.as_deref()?;
    let major: u32 = version.split('.').next()?.parse().ok()?;
    if major < 23 && facts.has_sys_resource == Some(false) {
        return finding(
            CHECK,
            Severity::Fault,
            format!(
                "version {version} cannot run privileged containers here, because this machine \
                 withholds the capability CAP_SYS_RESOURCE"
            ),
            Some("install Docker 23 or newer, which does without it"),
        );
    }
    if major < 20 {
        let text =
            format!("version {version} is older than 20.10, so nodes get no cgroups of their own");
        return finding(
            CHECK,
            Severity::Fault,
            text,
            Some("install Docker 23 or newer"),
        );
    }
    finding(CHECK, Severity::Good, format!("version {version}"), None)
}

fn cgroup(facts: &Facts) -> Option<Finding> {
    const CHECK: &str = "cgroup";
    let kubelet = facts.kubelet;
    match facts.cgroup_version? {
        1 if (kubelet.major, kubelet.minor) >= (1, 35) => finding(
            CHECK,
            Severity::Warning,
            format!(
                "version 1, which the kubelet of Kubernetes {kubelet} refuses by default; hosts made \
                 here tell it not to"
            ),
            Some("boot with systemd.unified_cgroup_hierarchy=1, or use a host of version 1.34"),
        ),
        1 => finding(
            CHECK,
            Severity::Good,
            "version 1, which the kubelet accepts up to Kubernetes 1.34",
            None,
        ),
        version => finding(CHECK, Severity::Good, format!("version {version}"), None),
    }
}

fn rootless(facts: &Facts) -> Option<Finding> {
    const CHECK: &str = "rootless";
    if !facts.is_rootless {
        return None;
    }
    if facts.cgroup_version == Some(1) {
        return finding(
            CHECK,
            Severity::Fault,
            "an engine without root needs cgroup version 2",
            Some("boot with systemd.unified_cgroup_hierarchy=1, or run the engine as root"),
        );
    }
    if facts.missing_controllers.is_empty() {
        return finding(
            CHECK,
            Severity::Good,
            "it has the controllers it needs",
            None,
        );
    }
    finding(
        CHECK,
        Severity::Fault,
        format!(
            "the engine runs without root and lacks the cgroup controllers {}",
            facts.missing_controllers.join(", ")
        ),
        Some(
            "put `[Service]` and `Delegate=cpu cpuset io memory pids` into \
             /etc/systemd/system/user@.service.d/delegate.conf, then `systemctl daemon-reload`",
        ),
    )
}

fn inotify(facts: &Facts) -> Option<Finding> {
    const CHECK: &str = "inotify";
    let (instances, watches) = (facts.inotify_instances?, facts.inotify_watches?);
    let text = format!("{instances} instances and {watches} watches per user");
    if instances >= INOTIFY_INSTANCES && watches >= INOTIFY_WATCHES {
        return finding(CHECK, Severity::Good, text, None);
    }
    let fix = format!(
        "sudo sysctl fs.inotify.max_user_instances={} fs.inotify.max_user_watches={}",
        instances.max(INOTIFY_INSTANCES),
        watches.max(INOTIFY_WATCHES)
    );
    let text = format!("{text}: pods fail with `too many open files` when many run");
    finding(CHECK, Severity::Warning, text, Some(&fix))
}

fn disk(facts: &Facts) -> Option<Finding> {
    const CHECK: &str = "disk";
    let free = facts.free_disk?;
    let text = format!("{} GiB free where the engine keeps its data", free / GIB);
    let fix = Some("docker system prune, or give the engine another data directory");
    match free {
        free if free < LEAST_DISK => finding(CHECK, Severity::Fault, text, fix),
        free if free < USUAL_DISK => finding(CHECK, Severity::Warning, text, fix),
        _ => finding(CHECK, Severity::Good, text, None),
    }
}

fn memory(facts: &Facts) -> Option<Finding> {
    const CHECK: &str = "memory";
    let memory = facts.memory?;
    let text = format!("{} GiB", memory / GIB);
    if memory < LEAST_MEMORY {
        let fix = Some("give the engine (or its virtual machine) at least 4 GiB");
        return finding(CHECK, Severity::Warning, text, fix);
    }
    finding(CHECK, Severity::Good, text, None)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn facts() -> Facts {
        Facts {
            engine_version: Some("26.1.5+dfsg1".to_owned()),
            cgroup_version: Some(2),
            is_rootless: false,
            missing_controllers: Vec::new(),
            has_sys_resource: Some(true),
            inotify_instances: Some(1024),
            inotify_watches: Some(1_000_000),
            free_disk: Some(100 * GIB),
            memory: Some(16 * GIB),
            kubelet: "1.34.2".parse().unwrap(),
        }
    }

    fn old_engine(facts: &mut Facts) {
        facts.engine_version = Some("20.10.24".to_owned());
        facts.has_sys_resource = Some(false);
    }

    fn new_kubelet_on_v1(facts: &mut Facts) {
        facts.cgroup_version = Some(1);
        facts.kubelet = "1.35.4".parse().unwrap();
    }

    fn undelegated(facts: &mut Facts) {
        facts.is_rootless = true;
        facts.missing_controllers = vec!["cpu"];
    }

    #[rstest]
    #[case::privileges(old_engine, "docker engine", Severity::Fault)]
    #[case::old_kernel_interface(new_kubelet_on_v1, "cgroup", Severity::Warning)]
    #[case::delegation(undelegated, "rootless", Severity::Fault)]
    #[case::few_instances(|f: &mut Facts| f.inotify_instances = Some(128), "inotify", Severity::Warning)]
    #[case::full_disk(|f: &mut Facts| f.free_disk = Some(GIB), "disk", Severity::Fault)]
    #[case::small_disk(|f: &mut Facts| f.free_disk = Some(9 * GIB), "disk", Severity::Warning)]
    #[case::small_memory(|f: &mut Facts| f.memory = Some(GIB), "memory", Severity::Warning)]
    fn a_fault_is_found_and_its_cure_named(
        #[case] change: fn(&mut Facts),
        #[case] name: &str,
        #[case] severity: Severity,
    ) {
        let mut facts = facts();
        change(&mut facts);
        let findings = check(&facts);
        let found = findings
            .iter()
            .find(|finding| finding.check == name)
            .unwrap();
        assert_eq!(found.severity, severity, "{found:?}");
        assert!(found.fix.is_some());
        let others = findings.iter().filter(|finding| finding.check != name);
        assert!(
            others
                .into_iter()
                .all(|finding| finding.severity == Severity::Good)
        );
    }

    #[test]
    fn a_good_machine_has_no_faults() {
        let findings = check(&facts());
        assert!(
            findings
                .iter()
                .all(|finding| finding.severity == Severity::Good)
        );
        assert_eq!(findings.len(), 5);
    }

    #[test]
    fn an_old_engine_that_has_the_capability_is_fine() {
        let facts = Facts {
            engine_version: Some("20.10.24".to_owned()),
            ..facts()
        };
        assert_eq!(check(&facts)[0].severity, Severity::Good);
    }

    #[test]
    fn the_sysctl_never_lowers_a_limit() {
        let facts = Facts {
            inotify_instances: Some(128),
            inotify_watches: Some(900_000),
            ..facts()
        };
        let findings = check(&facts);
        let fix = findings[2].fix.as_deref().unwrap();
        assert!(fix.contains("max_user_instances=512") && fix.contains("max_user_watches=900000"));
    }
}
