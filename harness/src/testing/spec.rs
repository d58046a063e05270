//! What the attribute says of a test.

use std::time::Duration;

use super::attempt;
use crate::{
    fixture::{Fixture, Fixtures},
    settings::{Keep, ProcessEnvironment, Settings},
};

/// How long a test's body may take when nothing else is said.
const DEFAULT_TIMEOUT: Duration = Duration::from_mins(5);

/// A test as its author declared it. The attribute writes it: a name, and a setter for each argument.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TestSpec {
    /// The module of the test, beginning with its crate.
    pub module: &'static str,
    /// The function; under rstest that of the case.
    pub name: &'static str,
    /// The distro asked for; the harness's default when absent.
    pub distro: Option<&'static str>,
    /// The Kubernetes version asked for, such as `1.34`; the newest when absent.
    pub version: Option<&'static str>,
    /// How long the body may take. Starting and deleting clusters have limits of their own.
    pub timeout: Duration,
    /// Whether clusters outlive the test, unless the environment says.
    pub keep: Option<Keep>,
    /// How many nodes the host must have that run pods.
    pub nodes: Option<usize>,
    /// The text of a file that says what is synced; the usual when absent.
    pub sync: Option<&'static str>,
    /// Where its clusters keep their objects: `etcd`, `kine` or `env:NAME`; the distro's choice when absent.
    pub store: Option<&'static str>,
    /// What is in its clusters before the test begins.
    pub fixtures: Fixtures,
    /// Whether its clusters are its own from their start to their end.
    pub fresh: bool,
    /// How many pods the control plane is made of; one when absent.
    pub replicas: Option<u8>,
    /// Distro and version of this test and of the others of its matrix; empty without a matrix.
    pub matrix: &'static [Cell],
    /// The kind of runtime the test runs on.
    pub flavor: Flavor,
    /// How many threads that runtime has; one per core when absent.
    pub worker_threads: Option<usize>,
    /// The text that a panic must contain for the test to pass; empty for any panic.
    pub should_panic: Option<&'static str>,
}

/// The distro and the version of one test of a matrix, as far as the matrix varies them.
pub type Cell = (Option<&'static str>, Option<&'static str>);

/// The kind of tokio runtime a test runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Flavor {
    /// Spawned tasks run on threads of their own.
    #[default]
    MultiThread,
    /// Spawned tasks run on the test's thread.
    CurrentThread,
}

/// What a test may ask about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TestInfo {
    /// The test as `cargo test` calls it, such as `guestbook::works::case_1_small`.
    pub path: String,
    /// The same with which run of it this is, where nextest runs it several times:
    /// `guestbook::works::case_1_small-attempt-2`. Its clusters and bundles are named by it.
    pub run: String,
    /// The crate it is in.
    pub crate_name: &'static str,
    /// What its attribute says.
    pub spec: TestSpec,
    /// How many clusters its arguments ask for.
    pub clusters: usize,
}

impl TestSpec {
    /// A test with nothing said about it.
    pub const fn new(module: &'static str, name: &'static str) -> Self {
        Self {
            module,
            name,
            distro: None,
            version: None,
            timeout: DEFAULT_TIMEOUT,
            keep: None,
            nodes: None,
            sync: None,
            store: None,
            fixtures: Fixtures(&[]),
            fresh: false,
            replicas: None,
            matrix: &[],
            flavor: Flavor::MultiThread,
            worker_threads: None,
            should_panic: None,
        }
    }

    /// Sets [`distro`](Self::distro).
    #[must_use]
    pub const fn distro(mut self, distro: &'static str) -> Self {
        self.distro = Some(distro);
        self
    }

    /// Sets [`version`](Self::version).
    #[must_use]
    pub const fn version(mut self, version: &'static str) -> Self {
        self.version = Some(version);
        self
    }

    /// Sets [`timeout`](Self::timeout).
    #[must_use]
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Sets [`keep`](Self::keep).
    #[must_use]
    pub const fn keep(mut self, keep: Keep) -> Self {
        self.keep = Some(keep);
        self
    }

    /// Sets [`nodes`](Self::nodes).
    #[must_use]
    pub const fn nodes(mut self, nodes: usize) -> Self {
        self.nodes = Some(nodes);
        self
    }

    /// Sets [`sync`](Self::sync).
    #[must_use]
    pub const fn sync(mut self, text: &'static str) -> Self {
        self.sync = Some(text);
        self
    }

    /// Sets [`store`](Self::store).
    #[must_use]
    pub const fn store(mut self, store: &'static str) -> Self {
        self.store = Some(store);
        self
    }

    /// Sets [`fixtures`](Self::fixtures).
    #[must_use]
    pub const fn fixtures(mut self, fixtures: &'static [&'static dyn Fixture]) -> Self {
        self.fixtures = Fixtures(fixtures);
        self
    }

    /// Sets [`fresh`](Self::fresh).
    #[must_use]
    pub const fn fresh(mut self) -> Self {
        self.fresh = true;
        self
    }

    /// Sets [`replicas`](Self::replicas).
    #[must_use]
    pub const fn replicas(mut self, replicas: u8) -> Self {
        self.replicas = Some(replicas);
        self
    }

    /// Sets [`matrix`](Self::matrix).
    #[must_use]
    pub const fn matrix(mut self, cells: &'static [Cell]) -> Self {
        self.matrix = cells;
        self
    }

    /// Sets [`flavor`](Self::flavor).
    #[must_use]
    pub const fn flavor(mut self, flavor: Flavor) -> Self {
        self.flavor = flavor;
        self
    }

    /// Sets [`worker_threads`](Self::worker_threads).
    #[must_use]
    pub const fn worker_threads(mut self, threads: usize) -> Self {
        self.worker_threads = Some(threads);
        self
    }

    /// Sets [`should_panic`](Self::should_panic).
    #[must_use]
    pub const fn should_panic(self, expected: &'static str) -> Self {
        self.should_panic_if(true, expected)
    }

    /// Sets [`should_panic`](Self::should_panic) where the condition holds.
    #[must_use]
    pub const fn should_panic_if(mut self, condition: bool, expected: &'static str) -> Self {
        if condition {
            self.should_panic = Some(expected);
        }
        self
    }

    /// When the test's clusters outlive it. The environment comes before the attribute here: a user who
    /// wants to look must not edit the test.
    pub(super) fn keep_policy(&self, settings: &Settings) -> Keep {
        settings.keep.or(self.keep).unwrap_or_default()
    }
}

impl TestInfo {
    pub(super) fn new(spec: TestSpec) -> Self {
        let (crate_name, module) = spec.module.split_once("::").unwrap_or((spec.module, ""));
        let path = match module {
            "" => spec.name.to_owned(),
            module => format!("{module}::{}", spec.name),
        };
        Self {
            run: path.clone() + &attempt::suffix(&ProcessEnvironment),
            path,
            crate_name,
            spec,
            clusters: 1,
        }
    }

    /// The test among those of other crates.
    pub(super) fn full_name(&self) -> String {
        format!("{} {}", self.crate_name, self.run)
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::nothing_said(None, None, Keep::Never)]
    #[case::the_attribute(None, Some(Keep::Always), Keep::Always)]
    #[case::the_environment_wins(Some(Keep::Never), Some(Keep::Always), Keep::Never)]
    fn the_keep_policy_is_found(
        #[case] environment: Option<Keep>,
        #[case] attribute: Option<Keep>,
        #[case] expected: Keep,
    ) {
        let mut settings = Settings::from_environment(&[]).unwrap();
        settings.keep = environment;
        let mut spec = TestSpec::new("e2e", "works");
        spec.keep = attribute;
        assert_eq!(spec.keep_policy(&settings), expected);
    }

    #[test]
    fn a_test_is_called_as_cargo_calls_it() {
        let deep = TestInfo::new(TestSpec::new("e2e::guestbook::works", "case_1"));
        assert_eq!(
            (deep.crate_name, deep.path.as_str()),
            ("e2e", "guestbook::works::case_1")
        );
        let flat = TestInfo::new(TestSpec::new("e2e", "works"));
        assert_eq!(flat.path, "works");
    }

    #[test]
    fn a_panic_is_wanted_only_where_its_condition_holds() {
        let spec = TestSpec::new("e2e", "panics");
        assert_eq!(
            spec.clone().should_panic_if(false, "boom").should_panic,
            None
        );
        assert_eq!(
            spec.should_panic_if(true, "boom").should_panic,
            Some("boom")
        );
    }
}
