//! What the environment says, read once. Tests pass a map instead and never touch the process.
//!
//! Only `VCLUSTER_TEST_*` is ours: `VCLUSTER_*` belongs to another project whose variables may be set
//! where an operator's tests run.

use std::{path::PathBuf, time::Duration};

use crate::{
    deadline::Deadline,
    pool::{Pool, Since},
    version::VersionRequest,
};

/// The Kubernetes of the shared host, unless told otherwise. Virtual clusters on it may have any version.
///
/// 1.34 is the newest whose kubelet also runs on machines with cgroup v1 without being told to.
pub const HOST_VERSION: VersionRequest = VersionRequest::Minor(1, 34);

/// Where settings come from.
pub trait Environment {
    /// The value of a variable, if it is set and not empty.
    fn get(&self, name: &str) -> Option<String>;
}

/// The environment of this process.
#[derive(Debug, Clone, Copy)]
pub struct ProcessEnvironment;

impl Environment for ProcessEnvironment {
    fn get(&self, name: &str) -> Option<String> {
        std::env::var(name).ok().filter(|value| !value.is_empty())
    }
}

impl<const N: usize> Environment for [(&str, &str); N] {
    fn get(&self, name: &str) -> Option<String> {
        self.iter()
            .find(|(key, _)| *key == name)
            .map(|(_, value)| (*value).to_owned())
    }
}

/// When a cluster outlives its test.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Keep {
    /// It never does.
    #[default]
    Never,
    /// When the test failed.
    OnFailure,
    /// Always, until its expiry.
    Always,
}

/// Which host the virtual clusters live on.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum HostChoice {
    /// The shared kind host of this machine, started when there is none.
    #[default]
    Auto,
    /// The kind cluster of this name, which must exist or is started.
    Kind(String),
    /// A cluster somebody else runs: a kubeconfig file and, maybe, a context in it.
    Kubeconfig {
        /// The file.
        path: PathBuf,
        /// The context; the file's current one when absent.
        context: Option<String>,
    },
}

/// Everything the environment may say.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a variable of its own"
)]
pub struct Settings {
    /// `VCLUSTER_TEST_KEEP`: `never`, `failed` or `always`; `None` when unset.
    pub keep: Option<Keep>,
    /// `VCLUSTER_TEST_HOST`: `auto`, `kind:NAME` or `kubeconfig:PATH[#CONTEXT]`.
    pub host: HostChoice,
    /// `VCLUSTER_TEST_HOST_VERSION`: the Kubernetes of a kind host of this machine, such as `1.33`. Hosts of several
    /// versions stand side by side.
    pub host_version: VersionRequest,
    /// `VCLUSTER_TEST_OFFLINE=1`: never ask a registry, never build.
    pub offline: bool,
    /// `VCLUSTER_TEST_ASSETS`: a directory of images and binaries that comes before every other source.
    pub assets: Option<PathBuf>,
    /// `VCLUSTER_TEST_MIRROR`: a registry host that stands in for the official ones.
    pub mirror: Option<String>,
    /// `VCLUSTER_TEST_SYNCER_IMAGE`: an image reference to use for the syncer.
    pub syncer_image: Option<String>,
    /// `VCLUSTER_TEST_START_TIMEOUT`: how long a cluster may take to start. Default 3 minutes.
    pub start_timeout: Duration,
    /// `VCLUSTER_TEST_STOP_TIMEOUT`: how long clean-up may take. Default 1 minute.
    pub stop_timeout: Duration,
    /// `VCLUSTER_TEST_ARTIFACTS`: where failure bundles go. Default `target/vcluster` of the tested package.
    pub artifacts: Option<PathBuf>,
    /// `VCLUSTER_TEST_REAPER=0` switches the reaper off, for platforms that forbid a child.
    pub reaper: bool,
    /// `VCLUSTER_TEST_CACHE`, else `vcluster-test` in the user's cache directory: images, binaries, locks.
    pub cache: PathBuf,
    /// `VCLUSTER_TEST_LOG`, else `RUST_LOG`: the tracing filter.
    pub log: Option<String>,
    /// `VCLUSTER_TEST_SKIP=1`: tests pass without being run, and say so; unless `VCLUSTER_TEST_REQUIRE=1`.
    pub skip: bool,
    /// `VCLUSTER_TEST_DISTROS=k8s,k3s`: the distros that tests with a matrix run on; all when unset.
    pub distros: Option<Vec<String>>,
    /// `VCLUSTER_TEST_VERSIONS=1.33,1.34`: the versions that tests with a matrix run on; all when unset.
    pub versions: Option<Vec<String>>,
    /// `VCLUSTER_TEST_HOST_IDLE`: how long the shared host of this machine stays when nobody uses it, or `never`
    /// to leave it for ever. Default 30 minutes, and never in CI.
    pub host_idle: Option<Duration>,
    /// `VCLUSTER_TEST_STARTS`: how many clusters may start at a time on this machine, instead of what its
    /// processors say.
    pub starts: Option<usize>,
    /// `VCLUSTER_TEST_CLUSTERS`: how many clusters tests may have at a time on this machine, instead of what its
    /// memory says.
    pub clusters: Option<usize>,
    /// `VCLUSTER_TEST_POOL`: `auto`, the default, hands clusters on from the second test on that asks for the
    /// same; `on`, or how many may wait for their next test, from the first; and `VCLUSTER_TEST_POOL_IDLE`: for how
    /// long. `None` when it is `off`.
    pub pool: Option<Pool>,
    /// `CI`: what elsewhere is a warning is a failure.
    pub ci: bool,
}

/// A variable with a value that means nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{variable}=`{value}` is not understood; expected {expected}")]
pub struct Error {
    /// The variable.
    pub variable: &'static str,
    /// Its value.
    pub value: String,
    /// The valid forms.
    pub expected: &'static str,
}

impl Settings {
    /// Reads the environment of this process.
    ///
    /// # Errors
    /// A variable of ours has a value that means nothing.
    pub fn from_process() -> Result<Self, Error> {
        Self::from_environment(&ProcessEnvironment)
    }

    /// Reads any environment.
    ///
    /// # Errors
    /// A variable of ours has a value that means nothing.
    pub fn from_environment(env: &impl Environment) -> Result<Self, Error> {
        Ok(Self {
            keep: parse(
                env,
                "VCLUSTER_TEST_KEEP",
                "never, failed or always",
                |v| match v {
                    "never" => Some(Keep::Never),
                    "failed" => Some(Keep::OnFailure),
                    "always" => Some(Keep::Always),
                    _ => None,
                },
            )?,
            host: parse(
                env,
                "VCLUSTER_TEST_HOST",
                "auto, kind:NAME or kubeconfig:PATH[#CONTEXT]",
                host_choice,
            )?
            .unwrap_or_default(),
            host_version: parse(
                env,
                "VCLUSTER_TEST_HOST_VERSION",
                "1.34, 1.34.2, latest, latest-1 or oldest",
                |text| text.parse().ok(),
            )?
            .unwrap_or(HOST_VERSION),
            offline: flag(env, "VCLUSTER_TEST_OFFLINE")?.unwrap_or(false),
            assets: env.get("VCLUSTER_TEST_ASSETS").map(PathBuf::from),
            mirror: env.get("VCLUSTER_TEST_MIRROR"),
            syncer_image: env.get("VCLUSTER_TEST_SYNCER_IMAGE"),
            start_timeout: duration(env, "VCLUSTER_TEST_START_TIMEOUT")?
                .unwrap_or(Duration::from_mins(3)),
            stop_timeout: duration(env, "VCLUSTER_TEST_STOP_TIMEOUT")?
                .unwrap_or(Duration::from_mins(1)),
            artifacts: env.get("VCLUSTER_TEST_ARTIFACTS").map(PathBuf::from),
            reaper: flag(env, "VCLUSTER_TEST_REAPER")?.unwrap_or(true),
            cache: cache_directory(env),
            log: env.get("VCLUSTER_TEST_LOG").or_else(|| env.get("RUST_LOG")),
            skip: flag(env, "VCLUSTER_TEST_SKIP")?.unwrap_or(false)
                && !flag(env, "VCLUSTER_TEST_REQUIRE")?.unwrap_or(false),
            distros: list(env, "VCLUSTER_TEST_DISTROS"),
            versions: list(env, "VCLUSTER_TEST_VERSIONS"),
            host_idle: host_idle(env)?,
            starts: count(env, "VCLUSTER_TEST_STARTS")?,
            clusters: count(env, "VCLUSTER_TEST_CLUSTERS")?,
            pool: pool(env)?,
            ci: is_ci(env),
        })
    }

    /// The deadline of a cluster's start.
    pub fn start_deadline(&self) -> Deadline {
        Deadline::after("virtual cluster", self.start_timeout)
    }
}

fn is_ci(env: &impl Environment) -> bool {
    env.get("CI")
        .is_some_and(|value| value != "false" && value != "0")
}

/// A test alone does not pay for others, unless that is asked for.
fn pool(env: &impl Environment) -> Result<Option<Pool>, Error> {
    let usual = Pool::usual(is_ci(env));
    let expected = "a number, `auto`, `on` or `off`";
    let asked = parse(env, "VCLUSTER_TEST_POOL", expected, |value| match value {
        "auto" => Some((usual.size, Since::Second)),
        "on" => Some((usual.size, Since::First)),
        "off" => Some((0, Since::First)),
        number => Some((number.parse().ok()?, Since::First)),
    })?;
    let idle = duration(env, "VCLUSTER_TEST_POOL_IDLE")?.unwrap_or(usual.idle);
    let (size, since) = asked.unwrap_or((usual.size, Since::Second));
    Ok((size > 0).then_some(Pool {
        size,
        idle,
        since,
        ..usual
    }))
}

fn cache_directory(env: &impl Environment) -> PathBuf {
    let path = |name| env.get(name).map(PathBuf::from);
    path("VCLUSTER_TEST_CACHE")
        .or_else(|| path("XDG_CACHE_HOME").map(|dir| dir.join("vcluster-test")))
        .or_else(|| path("HOME").map(|dir| dir.join(".cache/vcluster-test")))
        .unwrap_or_else(|| std::env::temp_dir().join("vcluster-test"))
}

fn host_choice(text: &str) -> Option<HostChoice> {
    if text == "auto" {
        return Some(HostChoice::Auto);
    }
    match text.split_once(':')? {
        ("kind", name) if !name.is_empty() => Some(HostChoice::Kind(name.to_owned())),
        ("kubeconfig", rest) if !rest.is_empty() => Some(match rest.split_once('#') {
            Some((path, context)) => HostChoice::Kubeconfig {
                path: path.into(),
                context: Some(context.to_owned()),
            },
            None => HostChoice::Kubeconfig {
                path: rest.into(),
                context: None,
            },
        }),
        _ => None,
    }
}

fn flag(env: &impl Environment, variable: &'static str) -> Result<Option<bool>, Error> {
    parse(env, variable, "0 or 1", |value| match value {
        "1" | "true" => Some(true),
        "0" | "false" => Some(false),
        _ => None,
    })
}

fn duration(env: &impl Environment, variable: &'static str) -> Result<Option<Duration>, Error> {
    parse(env, variable, "a duration such as `90s` or `5m`", |value| {
        humantime::parse_duration(value).ok()
    })
}

/// What the user says counts in CI as well.
fn host_idle(env: &impl Environment) -> Result<Option<Duration>, Error> {
    let said = parse(
        env,
        "VCLUSTER_TEST_HOST_IDLE",
        "a duration such as `30m`, or never",
        |value| match value {
            "never" => Some(None),
            value => humantime::parse_duration(value).ok().map(Some),
        },
    )?;
    Ok(said.unwrap_or_else(|| (!is_ci(env)).then_some(Duration::from_mins(30))))
}

fn count(env: &impl Environment, variable: &'static str) -> Result<Option<usize>, Error> {
    parse(env, variable, "a number from 1 on", |value| {
        value.parse().ok().filter(|count| *count > 0)
    })
}

fn list(env: &impl Environment, variable: &'static str) -> Option<Vec<String>> {
    let text = env.get(variable)?;
    Some(text.split(',').map(|item| item.trim().to_owned()).collect())
}

fn parse<T>(
    env: &impl Environment,
    variable: &'static str,
    expected: &'static str,
    read: impl Fn(&str) -> Option<T>,
) -> Result<Option<T>, Error> {
    env.get(variable)
        .map(|value| {
            read(&value).ok_or(Error {
                variable,
                value,
                expected,
            })
        })
        .transpose()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[test]
    fn nothing_set_gives_the_defaults() {
        let settings = Settings::from_environment(&[("HOME", "/home/ada")]).unwrap();
        assert_eq!(settings.keep, None);
        assert_eq!(settings.host, HostChoice::Auto);
        assert_eq!(settings.host_version, HOST_VERSION);
        assert_eq!(
            settings.cache,
            PathBuf::from("/home/ada/.cache/vcluster-test")
        );
        assert!(settings.reaper);
    }

    #[rstest]
    #[case::auto("auto", HostChoice::Auto)]
    #[case::kind("kind:ci", HostChoice::Kind("ci".to_owned()))]
    #[case::file("kubeconfig:/etc/k", HostChoice::Kubeconfig { path: "/etc/k".into(), context: None })]
    #[case::context("kubeconfig:k#prod", HostChoice::Kubeconfig { path: "k".into(), context: Some("prod".to_owned()) })]
    fn a_host_is_read(#[case] text: &str, #[case] expected: HostChoice) {
        let settings = Settings::from_environment(&[("VCLUSTER_TEST_HOST", text)]).unwrap();
        assert_eq!(settings.host, expected);
    }

    #[rstest]
    #[case::keep("VCLUSTER_TEST_KEEP", "sometimes")]
    #[case::host("VCLUSTER_TEST_HOST", "kind:")]
    #[case::host_version("VCLUSTER_TEST_HOST_VERSION", "newest")]
    #[case::flag("VCLUSTER_TEST_OFFLINE", "maybe")]
    #[case::pool("VCLUSTER_TEST_POOL", "-1")]
    #[case::duration("VCLUSTER_TEST_START_TIMEOUT", "soon")]
    #[case::count("VCLUSTER_TEST_STARTS", "0")]
    #[case::idle("VCLUSTER_TEST_HOST_IDLE", "soon")]
    fn a_bad_value_is_named(#[case] variable: &str, #[case] value: &str) {
        let error = Settings::from_environment(&[(variable, value)]).unwrap_err();
        assert_eq!((error.variable, error.value.as_str()), (variable, value));
    }

    #[rstest]
    #[case::off("off", None)]
    #[case::nought("0", None)]
    #[case::three("3", Some(3))]
    fn the_pool_has_a_size_or_there_is_none(#[case] text: &str, #[case] expected: Option<usize>) {
        let settings = Settings::from_environment(&[("VCLUSTER_TEST_POOL", text)]).unwrap();
        assert_eq!(settings.pool.map(|pool| pool.size), expected);
    }

    #[rstest]
    #[case::unset(&[], Since::Second)]
    #[case::auto(&[("VCLUSTER_TEST_POOL", "auto")], Since::Second)]
    #[case::on(&[("VCLUSTER_TEST_POOL", "on")], Since::First)]
    #[case::so_many(&[("VCLUSTER_TEST_POOL", "3")], Since::First)]
    fn a_test_alone_pays_for_others_only_when_asked(
        #[case] set: &[(&str, &str)],
        #[case] expected: Since,
    ) {
        let mut environment = [("", ""); 1];
        environment[..set.len()].copy_from_slice(set);
        let settings = Settings::from_environment(&environment).unwrap();
        assert_eq!(settings.pool.unwrap().since, expected);
    }

    #[test]
    fn in_ci_nothing_waits_for_long() {
        let idle = |ci: &str| {
            let env = [("CI", ci), ("VCLUSTER_TEST_POOL", "on")];
            let settings = Settings::from_environment(&env).unwrap();
            settings.pool.unwrap().idle
        };
        assert!(idle("true") < idle("false"));
    }

    #[rstest]
    #[case::at_home(&[], Some(30))]
    #[case::in_ci(&[("CI", "true")], None)]
    #[case::said(&[("VCLUSTER_TEST_HOST_IDLE", "5m")], Some(5))]
    #[case::said_in_ci(&[("CI", "1"), ("VCLUSTER_TEST_HOST_IDLE", "5m")], Some(5))]
    #[case::never(&[("VCLUSTER_TEST_HOST_IDLE", "never")], None)]
    fn an_idle_host_stays_for(#[case] set: &[(&str, &str)], #[case] minutes: Option<u64>) {
        let mut environment = [("", ""); 2];
        environment[..set.len()].copy_from_slice(set);
        let settings = Settings::from_environment(&environment).unwrap();
        assert_eq!(settings.host_idle, minutes.map(Duration::from_mins));
    }

    #[test]
    fn variables_of_the_other_project_mean_nothing() {
        let settings =
            Settings::from_environment(&[("VCLUSTER_NAME", "x"), ("VCLUSTER_VERSION", "9")]);
        assert_eq!(settings, Settings::from_environment(&[]));
    }
}
