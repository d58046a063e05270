//! What the facts mean, and what to do about them.

use super::facts::{CacheFacts, EngineFacts, Facts};
use crate::report::{Check, Status};

const GB: u64 = 1 << 30;
/// Images of one Kubernetes version, a host and a few clusters.
const LEAST_DISK: u64 = 10 * GB;
/// A host takes 1.5 GB, a virtual cluster 0.4 GB.
const LEAST_MEMORY: u64 = 4 * GB;
/// Each node and each pod takes some; distributions set 128, which is enough for one node.
const FEW_INSTANCES: u64 = 512;
const FEW_WATCHES: u64 = 65_536;
/// The engine has addresses for about 31 networks unless it was told otherwise.
const MANY_NETWORKS: usize = 28;
/// Certificates are valid from a little before they are made.
const CLOCKS_APART: i64 = 30;

/// Judges everything.
pub(crate) fn judge(facts: &Facts) -> Vec<Check> {
    let mut checks = Vec::new();
    match &facts.engine {
        Err(chain) => checks.push(failed("engine", chain.clone(), None)),
        Ok(engine) => {
            checks.push(good(
                "engine",
                format!("Docker {} at {}", engine.version, engine.endpoint),
            ));
            checks.extend([
                cgroup(engine),
                storage(engine),
                memory(engine),
                clock(engine),
                networks(engine),
            ]);
            checks.extend(
                engine
                    .free
                    .map(|free| disk("engine disk", free, "its images")),
            );
            checks.push(hosts(engine));
        }
    }
    checks.push(cache(&facts.cache));
    checks.extend(
        facts
            .inotify_instances
            .map(|found| inotify("max_user_instances", found, FEW_INSTANCES)),
    );
    checks.extend(
        facts
            .inotify_watches
            .map(|found| inotify("max_user_watches", found, FEW_WATCHES)),
    );
    checks.push(source_builds(&facts.missing_programs));
    checks
}

fn cgroup(engine: &EngineFacts) -> Check {
    match engine.cgroup.as_str() {
        "2" => good("cgroup", "v2".to_owned()),
        "1" => good(
            "cgroup",
            "v1: good for hosts of any version, which are told to accept it".to_owned(),
        ),
        other => warning(
            "cgroup",
            format!("the engine says `{other}`"),
            "expected version 1 or 2; see `docker info`".to_owned(),
        ),
    }
}

fn storage(engine: &EngineFacts) -> Check {
    let found = engine.storage_driver.clone();
    if found == "vfs" {
        let fix = "vfs copies every layer: keep the engine's data on ext4 or xfs so that it can use overlay2";
        return warning("storage", found, fix.to_owned());
    }
    good("storage", found)
}

fn memory(engine: &EngineFacts) -> Check {
    let found = format!(
        "{} for the engine, {} cores",
        gigabytes(engine.memory),
        engine.cores
    );
    if engine.memory < LEAST_MEMORY {
        let fix = format!("give it at least {}", gigabytes(LEAST_MEMORY));
        return warning("memory", found, fix);
    }
    good("memory", found)
}

fn clock(engine: &EngineFacts) -> Check {
    let apart = engine.clock_ahead;
    if apart.abs() > CLOCKS_APART {
        return failed(
            "clock",
            format!("the engine's clock is {apart} s ahead of this machine's"),
            Some(
                "set both clocks by NTP: certificates made here would not be valid there"
                    .to_owned(),
            ),
        );
    }
    good("clock", "the engine's and this machine's agree".to_owned())
}

fn networks(engine: &EngineFacts) -> Check {
    let found = format!("{} networks", engine.networks);
    if engine.networks >= MANY_NETWORKS {
        let fix =
            "an engine has addresses for about 31: `docker network prune` removes unused ones";
        return warning("networks", found, fix.to_owned());
    }
    good("networks", found)
}

fn hosts(engine: &EngineFacts) -> Check {
    let found: Vec<String> = engine
        .hosts
        .iter()
        .map(|(name, runs)| format!("{name} ({})", if *runs { "running" } else { "stopped" }))
        .collect();
    if found.is_empty() {
        return good(
            "hosts",
            "none yet; the first test or `cargo vcluster host up` starts one".to_owned(),
        );
    }
    good("hosts", found.join(", "))
}

fn cache(cache: &CacheFacts) -> Check {
    match &cache.free {
        Err(reason) => failed(
            "cache",
            format!("{} cannot be written: {reason}", cache.path.display()),
            Some("make it writable, or set VCLUSTER_TEST_CACHE to a directory that is".to_owned()),
        ),
        Ok(free) => disk("cache", *free, &cache.path.display().to_string()),
    }
}

fn disk(name: &str, free: u64, place: &str) -> Check {
    let found = format!("{} free for {place}", gigabytes(free));
    if free < LEAST_DISK / 4 {
        return failed(
            name,
            found,
            Some(format!("free at least {}", gigabytes(LEAST_DISK))),
        );
    }
    if free < LEAST_DISK {
        return warning(
            name,
            found,
            format!("free at least {}", gigabytes(LEAST_DISK)),
        );
    }
    good(name, found)
}

fn inotify(limit: &str, found: u64, least: u64) -> Check {
    let name = "inotify";
    let text = format!("fs.inotify.{limit} is {found}");
    if found < least {
        let fix = format!(
            "with many nodes or clusters raise it: `sudo sysctl -w fs.inotify.{limit}={}`",
            least * 2
        );
        return warning(name, text, fix);
    }
    good(name, text)
}

fn source_builds(missing: &[&'static str]) -> Check {
    let name = "source builds";
    if missing.is_empty() {
        return good(
            name,
            "possible, where no registry can be reached".to_owned(),
        );
    }
    warning(
        name,
        format!("not possible: {} missing", missing.join(", ")),
        "only needed where no registry can be reached: install Go and, on Debian, the packages gcc and debootstrap"
            .to_owned(),
    )
}

fn gigabytes(bytes: u64) -> String {
    format!("{}.{} GB", bytes / GB, bytes % GB * 10 / GB)
}

fn good(name: &str, found: String) -> Check {
    Check {
        name: name.to_owned(),
        status: Status::Good,
        found,
        fix: None,
    }
}

fn warning(name: &str, found: String, fix: String) -> Check {
    Check {
        name: name.to_owned(),
        status: Status::Warning,
        found,
        fix: Some(fix),
    }
}

fn failed(name: &str, found: String, fix: Option<String>) -> Check {
    Check {
        name: name.to_owned(),
        status: Status::Failed,
        found,
        fix,
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn engine() -> EngineFacts {
        EngineFacts {
            endpoint: "unix:///var/run/docker.sock".to_owned(),
            version: "26.1.5".to_owned(),
            cgroup: "2".to_owned(),
            storage_driver: "overlay2".to_owned(),
            cores: 2,
            memory: 24 * GB,
            free: Some(60 * GB),
            clock_ahead: 0,
            networks: 4,
            hosts: vec![("vcluster-test".to_owned(), true)],
        }
    }

    fn facts(engine: Result<EngineFacts, String>) -> Facts {
        Facts {
            engine,
            cache: CacheFacts {
                path: "/home/ada/.cache/vcluster-test".into(),
                free: Ok(60 * GB),
            },
            inotify_instances: Some(1024),
            inotify_watches: Some(1_048_576),
            missing_programs: Vec::new(),
        }
    }

    fn status(checks: &[Check], name: &str) -> Status {
        checks
            .iter()
            .find(|check| check.name == name)
            .map(|check| check.status)
            .unwrap()
    }

    #[test]
    fn a_good_machine_has_nothing_to_mend() {
        let checks = judge(&facts(Ok(engine())));
        assert!(
            checks
                .iter()
                .all(|check| check.status == Status::Good && check.fix.is_none()),
            "{checks:?}"
        );
    }

    #[test]
    fn without_an_engine_the_rest_is_looked_at_all_the_same() {
        let checks = judge(&facts(Err("no Docker engine found".to_owned())));
        assert_eq!(status(&checks, "engine"), Status::Failed);
        assert_eq!(status(&checks, "cache"), Status::Good);
    }

    #[rstest]
    #[case::little_memory(EngineFacts { memory: GB, ..engine() }, "memory", Status::Warning)]
    #[case::copied_layers(EngineFacts { storage_driver: "vfs".to_owned(), ..engine() }, "storage", Status::Warning)]
    #[case::a_wrong_clock(EngineFacts { clock_ahead: -3600, ..engine() }, "clock", Status::Failed)]
    #[case::too_many_networks(EngineFacts { networks: 30, ..engine() }, "networks", Status::Warning)]
    #[case::a_full_disk(EngineFacts { free: Some(GB), ..engine() }, "engine disk", Status::Failed)]
    #[case::a_nearly_full_disk(EngineFacts { free: Some(9 * GB), ..engine() }, "engine disk", Status::Warning)]
    #[case::strange_control_groups(EngineFacts { cgroup: String::new(), ..engine() }, "cgroup", Status::Warning)]
    fn what_is_wrong_is_said_with_what_to_do(
        #[case] engine: EngineFacts,
        #[case] name: &str,
        #[case] expected: Status,
    ) {
        let checks = judge(&facts(Ok(engine)));
        assert_eq!(status(&checks, name), expected);
        let bad: Vec<_> = checks
            .iter()
            .filter(|check| check.status != Status::Good)
            .collect();
        assert!(bad.len() == 1 && bad[0].fix.is_some(), "{bad:?}");
    }

    #[test]
    fn a_cache_that_cannot_be_written_fails() {
        let mut facts = facts(Ok(engine()));
        facts.cache.free = Err("read-only file system".to_owned());
        facts.inotify_instances = Some(128);
        facts.missing_programs = vec!["debootstrap"];
        let checks = judge(&facts);
        assert_eq!(status(&checks, "cache"), Status::Failed);
        assert_eq!(status(&checks, "inotify"), Status::Warning);
        assert_eq!(status(&checks, "source builds"), Status::Warning);
    }
}
