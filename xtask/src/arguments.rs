//! The command line of `cargo xtask`.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// The project's own commands.
///
/// `demo` and `test` set up what is missing on a fresh Debian machine by themselves.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", version)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) task: Task,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Task {
    /// Set up, start the host and run the example operator's test, in a dozen lines.
    Demo,
    /// Set up and run all tests: hermetic ones, then those that need a host.
    Test(TestArguments),
    /// Set up only: Docker engine, packages, images, host. What works is not touched.
    Setup,
    /// Measure starts, deletes, memory and sync latency.
    Bench(BenchArguments),
    /// Run tests over and over, kill them at random moments, and list what is left: that must be nothing.
    Soak(SoakArguments),
    /// Run the fuzzers of everything that reads what others wrote. Needs a C++ compiler.
    Fuzz(FuzzArguments),
    /// Everything a change must pass: fmt, lint, doc, deny, and test under both runners.
    Ci,
    /// Check the formatting; `cargo fmt --all` mends it.
    Fmt,
    /// Clippy on everything, warnings are errors.
    Lint,
    /// Build the documentation, warnings are errors.
    Doc,
    /// Check licences, sources and duplicates of dependencies, where cargo-deny is installed.
    Deny,
    /// Check each crate alone, so that none leans on a feature another one switched on.
    Each,
    /// Set up and run the tests that need a host.
    E2e(TestArguments),
}

#[derive(Debug, Default, Args)]
pub(crate) struct TestArguments {
    /// Run only tests whose name contains this.
    pub(crate) filter: Option<String>,
    /// Leave out the tests that need a host, and the set-up.
    #[arg(long)]
    pub(crate) hermetic: bool,
    /// What runs the test programs.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) runner: Runner,
    /// Passed to each test program, such as `-- --nocapture`.
    #[arg(last = true)]
    pub(crate) passed_on: Vec<String>,
}

/// A program that runs test programs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Runner {
    /// `cargo test`: a process for each test program.
    #[default]
    Cargo,
    /// cargo-nextest: a process for each test.
    Nextest,
}

#[derive(Debug, Args)]
pub(crate) struct BenchArguments {
    /// Measure each thing this often.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) runs: u32,
    /// Write the results to this file as well.
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// Measure one thing only.
    #[arg(long, value_enum)]
    pub(crate) only: Option<Only>,
    /// Run this build of the end-to-end tests for the matrix instead of building them.
    #[arg(long, value_name = "FILE")]
    pub(crate) program: Option<PathBuf>,
    /// Start the host anew in each run to measure it; the shared host is left alone either way.
    #[arg(long)]
    pub(crate) no_host: bool,
}

/// One part of the benchmarks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Only {
    /// Each distro, and a small test in a matrix of three distros and three versions. Stand-ins for k3s and k0s.
    Distros,
    /// The start of a cluster, by its phases.
    Start,
    /// The syncer with a thousand pods.
    Sync,
    /// Clusters that go from test to test, and their reset.
    Pool,
    /// Two suites of a hundred tests.
    Suite,
}

#[derive(Debug, Args)]
pub(crate) struct SoakArguments {
    /// How many tests are run.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) cycles: u32,
    /// Kill them at random moments, now and then together with their reapers.
    #[arg(long)]
    pub(crate) kill: bool,
    /// Run so many at a time.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) jobs: u16,
    /// Run this build of the end-to-end tests instead of building them.
    #[arg(long, value_name = "FILE")]
    pub(crate) program: Option<PathBuf>,
    /// Choose the same moments as another soak with this seed.
    #[arg(long)]
    pub(crate) seed: Option<u64>,
}

#[derive(Debug, Args)]
pub(crate) struct FuzzArguments {
    /// Which; all of them, one after the other, when none is named.
    #[arg(value_enum)]
    pub(crate) fuzzers: Vec<Fuzzer>,
    /// How long each runs.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) minutes: u64,
}

/// A fuzzer, called as its file in `fuzz/fuzz_targets` is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub(crate) enum Fuzzer {
    /// Annotations of tenants' objects.
    Annotations,
    /// Configuration files.
    Configuration,
    /// Annotations that say what a host object stands for.
    Identities,
    /// Requests to kubelets.
    RelayRequests,
    /// Where tunnels are to lead.
    RelayTargets,
    /// Values of a virtual cluster's store.
    StoredValues,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn a_filter_and_arguments_for_the_test_programs_are_told_apart() {
        let arguments =
            Arguments::parse_from(["xtask", "test", "pods", "--", "--nocapture", "--exact"]);
        let Task::Test(test) = arguments.task else {
            panic!("{arguments:?}");
        };
        assert_eq!(test.filter.as_deref(), Some("pods"));
        assert_eq!(test.passed_on, ["--nocapture", "--exact"]);
    }

    #[test]
    fn cargo_runs_tests_unless_another_runner_is_asked_for() {
        let of = |words: &[&str]| match Arguments::parse_from(words).task {
            Task::Test(test) => test.runner,
            task => panic!("{task:?}"),
        };
        assert_eq!(of(&["xtask", "test"]), Runner::Cargo);
        let asked = ["xtask", "test", "--runner", "nextest"];
        assert_eq!(of(&asked), Runner::Nextest);
    }

    #[test]
    fn fuzzers_are_called_as_their_files_are() {
        let folder = crate::workspace::root().join("fuzz/fuzz_targets");
        for fuzzer in Fuzzer::value_variants() {
            let file = folder.join(fuzzer.name()).with_extension("rs");
            assert!(file.is_file(), "{}", file.display());
        }
        let count = std::fs::read_dir(folder).unwrap().count();
        assert_eq!(Fuzzer::value_variants().len(), count);
    }

    #[test]
    fn a_soak_can_be_repeated() {
        let arguments = Arguments::parse_from(["xtask", "soak", "--cycles", "9", "--seed", "7"]);
        let Task::Soak(soak) = arguments.task else {
            panic!("{arguments:?}");
        };
        assert_eq!((soak.cycles, soak.kill, soak.seed), (9, false, Some(7)));
    }

    #[test]
    fn no_runs_is_refused() {
        assert!(Arguments::try_parse_from(["xtask", "bench", "--runs", "0"]).is_err());
    }
}
