//! What the facts mean, and what to do about them. Pure.

use std::fmt;

use super::Facts;

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

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.check, self.text)?;
        match &self.fix {
            Some(fix) => write!(f, "; {fix}"),
            None => Ok(()),
        }
    }
}

const INOTIFY_INSTANCES: u64 = 512;
const INOTIFY_WATCHES: u64 = 524_288;
const GIB: u64 = 1 << 30;
/// A node with its images, and a few clusters on it.
const LEAST_DISK: u64 = 5 * GIB;
const USUAL_DISK: u64 = 15 * GIB;
/// A host takes 1.5 GB, a virtual cluster 0.4 GB.
const LEAST_MEMORY: u64 = 2 * GIB;
const USUAL_MEMORY: u64 = 4 * GIB;
/// The engine has addresses for about 31 networks unless it was told otherwise.
const MANY_NETWORKS: usize = 28;
/// Certificates are valid from a little before they are made.
const CLOCKS_APART: i64 = 30;

/// Judges the facts: one finding per check, good ones included.
pub fn check(facts: &Facts) -> Vec<Finding> {
    [
        engine(facts),
        cgroup(facts),
        rootless(facts),
        storage(facts),
        memory(facts),
        clock(facts),
        networks(facts),
        facts
            .free_disk
            .map(|free| disk("engine disk", free, "the engine's data")),
        inotify(facts),
    ]
    .into_iter()
    .flatten()
    .collect()
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
    const CHECK: &str = "engine";
    let version = facts
        .engine_version
        .as_deref()
        .unwrap_or("of no known version");
    // What is not Docker counts as it likes.
    let major = version.split('.').next()?.parse().unwrap_or(u32::MAX);
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
    let text = format!("Docker {version} at {}", facts.endpoint);
    finding(CHECK, Severity::Good, text, None)
}

fn cgroup(facts: &Facts) -> Option<Finding> {
    const CHECK: &str = "cgroup";
    match facts.cgroup_version {
        Some(1) => finding(
            CHECK,
            Severity::Good,
            "version 1, which hosts of any Kubernetes are told to accept",
            None,
        ),
        Some(version) => finding(CHECK, Severity::Good, format!("version {version}"), None),
        None => finding(
            CHECK,
            Severity::Warning,
            "the engine does not say which version",
            Some("expected 1 or 2; see `docker info`"),
        ),
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

fn storage(facts: &Facts) -> Option<Finding> {
    const CHECK: &str = "storage";
    let driver = facts.storage_driver.as_deref()?;
    if driver == "vfs" {
        let fix = "vfs copies every layer: keep the engine's data on ext4 or xfs, so that it can use overlay2";
        return finding(CHECK, Severity::Warning, driver, Some(fix));
    }
    finding(CHECK, Severity::Good, driver, None)
}

fn memory(facts: &Facts) -> Option<Finding> {
    const CHECK: &str = "memory";
    let memory = facts.memory?;
    let mut text = format!("{} for the engine", gigabytes(memory));
    if let Some(cores) = facts.cores {
        text = format!("{text}, {cores} cores");
    }
    // A machine of so many gigabytes has a little less.
    let severity = match memory + memory / 16 {
        memory if memory < LEAST_MEMORY => Severity::Fault,
        memory if memory < USUAL_MEMORY => Severity::Warning,
        _ => return finding(CHECK, Severity::Good, text, None),
    };
    let fix = Some("give the engine (or its virtual machine) at least 4 GB");
    finding(CHECK, severity, text, fix)
}

fn clock(facts: &Facts) -> Option<Finding> {
    const CHECK: &str = "clock";
    let apart = facts.clock_ahead?;
    if apart.abs() > CLOCKS_APART {
        return finding(
            CHECK,
            Severity::Fault,
            format!("the engine's clock is {apart} s ahead of this machine's"),
            Some("set both clocks by NTP: certificates made here would not be valid there"),
        );
    }
    finding(
        CHECK,
        Severity::Good,
        "the engine's and this machine's agree",
        None,
    )
}

fn networks(facts: &Facts) -> Option<Finding> {
    const CHECK: &str = "networks";
    let text = format!("{} networks", facts.networks);
    if facts.networks >= MANY_NETWORKS {
        let fix =
            "an engine has addresses for about 31: `docker network prune` removes unused ones";
        return finding(CHECK, Severity::Warning, text, Some(fix));
    }
    finding(CHECK, Severity::Good, text, None)
}

/// Judges the free bytes of a disk that images are kept on. `place` is for people.
pub fn disk(check: &'static str, free: u64, place: &str) -> Finding {
    let severity = match free {
        free if free < LEAST_DISK => Severity::Fault,
        free if free < USUAL_DISK => Severity::Warning,
        _ => Severity::Good,
    };
    let fix = format!(
        "free at least {} (`docker system prune` removes unused images), or use another disk",
        gigabytes(USUAL_DISK)
    );
    Finding {
        check,
        severity,
        text: format!("{} free for {place}", gigabytes(free)),
        fix: (severity != Severity::Good).then_some(fix),
    }
}

fn gigabytes(bytes: u64) -> String {
    format!("{}.{} GB", bytes / GIB, bytes % GIB * 10 / GIB)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn facts() -> Facts {
        Facts {
            endpoint: "unix:///var/run/docker.sock".to_owned(),
            engine_version: Some("26.1.5+dfsg1".to_owned()),
            cgroup_version: Some(2),
            storage_driver: Some("overlay2".to_owned()),
            cores: Some(2),
            clock_ahead: Some(0),
            networks: 4,
            is_rootless: false,
            missing_controllers: Vec::new(),
            has_sys_resource: Some(true),
            inotify_instances: Some(1024),
            inotify_watches: Some(1_000_000),
            free_disk: Some(100 * GIB),
            memory: Some(16 * GIB),
        }
    }

    fn old_engine(facts: &mut Facts) {
        facts.engine_version = Some("20.10.24".to_owned());
        facts.has_sys_resource = Some(false);
    }

    fn undelegated(facts: &mut Facts) {
        facts.is_rootless = true;
        facts.missing_controllers = vec!["cpu"];
    }

    #[rstest]
    #[case::privileges(old_engine, "engine", Severity::Fault)]
    #[case::strange_cgroups(|f: &mut Facts| f.cgroup_version = None, "cgroup", Severity::Warning)]
    #[case::copied_layers(|f: &mut Facts| f.storage_driver = Some("vfs".to_owned()), "storage", Severity::Warning)]
    #[case::a_wrong_clock(|f: &mut Facts| f.clock_ahead = Some(-3600), "clock", Severity::Fault)]
    #[case::too_many_networks(|f: &mut Facts| f.networks = 30, "networks", Severity::Warning)]
    #[case::delegation(undelegated, "rootless", Severity::Fault)]
    #[case::few_instances(|f: &mut Facts| f.inotify_instances = Some(128), "inotify", Severity::Warning)]
    #[case::full_disk(|f: &mut Facts| f.free_disk = Some(GIB), "engine disk", Severity::Fault)]
    #[case::small_disk(|f: &mut Facts| f.free_disk = Some(9 * GIB), "engine disk", Severity::Warning)]
    #[case::small_memory(|f: &mut Facts| f.memory = Some(3 * GIB), "memory", Severity::Warning)]
    #[case::hardly_any_memory(|f: &mut Facts| f.memory = Some(GIB), "memory", Severity::Fault)]
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
        assert_eq!(findings.len(), 8);
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
        let fix = inotify(&facts).unwrap().fix.unwrap();
        assert!(fix.contains("max_user_instances=512") && fix.contains("max_user_watches=900000"));
    }
}
