//! What the facts mean, and what to do about them.

use vcluster_harness::host::preflight::{self, Finding, Severity};

use super::facts::{CacheFacts, EngineFacts, Facts};
use crate::report::{Check, Status};

/// Judges everything.
pub(crate) fn judge(facts: &Facts) -> Vec<Check> {
    let mut checks = Vec::new();
    match &facts.engine {
        Err(chain) => checks.push(failed("engine", chain.clone(), None)),
        Ok(engine) => {
            let findings = preflight::check(&engine.preflight);
            checks.extend(findings.into_iter().map(Check::from));
            checks.push(hosts(engine));
        }
    }
    checks.push(cache(&facts.cache));
    checks.push(source_builds(&facts.missing_programs));
    checks
}

impl From<Finding> for Check {
    fn from(finding: Finding) -> Self {
        Self {
            name: finding.check.to_owned(),
            status: match finding.severity {
                Severity::Good => Status::Good,
                Severity::Warning => Status::Warning,
                Severity::Fault => Status::Failed,
            },
            found: finding.text,
            fix: finding.fix,
        }
    }
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
        Ok(free) => preflight::disk("cache", *free, &cache.path.display().to_string()).into(),
    }
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
    use super::*;

    const GB: u64 = 1 << 30;

    fn engine() -> EngineFacts {
        EngineFacts {
            preflight: preflight::Facts {
                endpoint: "unix:///var/run/docker.sock".to_owned(),
                engine_version: Some("26.1.5".to_owned()),
                cgroup_version: Some(2),
                is_rootless: false,
                missing_controllers: Vec::new(),
                has_sys_resource: Some(true),
                storage_driver: Some("overlay2".to_owned()),
                cores: Some(2),
                memory: Some(24 * GB),
                free_disk: Some(60 * GB),
                clock_ahead: Some(0),
                networks: 4,
                inotify_instances: Some(1024),
                inotify_watches: Some(1_048_576),
            },
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

    #[test]
    fn what_is_wrong_with_the_engine_is_said_with_what_to_do() {
        let mut engine = engine();
        engine.preflight.clock_ahead = Some(-3600);
        engine.preflight.inotify_instances = Some(128);
        let checks = judge(&facts(Ok(engine)));
        assert_eq!(status(&checks, "clock"), Status::Failed);
        assert_eq!(status(&checks, "inotify"), Status::Warning);
        let bad = checks.iter().filter(|check| check.status != Status::Good);
        assert_eq!(bad.filter(|check| check.fix.is_some()).count(), 2);
    }

    #[test]
    fn a_cache_that_cannot_be_written_fails() {
        let mut facts = facts(Ok(engine()));
        facts.cache.free = Err("read-only file system".to_owned());
        facts.missing_programs = vec!["debootstrap"];
        let checks = judge(&facts);
        assert_eq!(status(&checks, "cache"), Status::Failed);
        assert_eq!(status(&checks, "source builds"), Status::Warning);
    }
}
