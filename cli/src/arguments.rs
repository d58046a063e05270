//! The command line of `cargo vcluster`.

use std::{ffi::OsString, path::PathBuf, time::Duration};

use clap::{Args, Parser, Subcommand, ValueEnum};
use vcluster_harness::version::VersionRequest;

const EXIT_CODES: &str = "\
Exit codes: 0 good; 1 unexpected; 2 wrong use; 4 nothing of that name; 92 version not available; \
95 host unusable; 96 configuration; 97 image or binary missing; 98 no capacity; 99 timed out; \
100 doctor found something.";

/// Hosts and virtual clusters from the command line.
///
/// The user's kubeconfig and current context are neither read nor written. What tests make, they
/// delete themselves; what `create` makes lives until it is deleted.
#[derive(Debug, Parser)]
#[command(name = "cargo vcluster", bin_name = "cargo vcluster", version)]
#[command(after_help = EXIT_CODES)]
pub(crate) struct Arguments {
    /// How results are written to standard output. Progress always goes to standard error.
    #[arg(long, global = true, value_enum, default_value_t, value_name = "FORM")]
    pub(crate) output: OutputForm,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum OutputForm {
    /// For people.
    #[default]
    Human,
    /// For programs; the names of fields do not change.
    Json,
}

#[derive(Debug, PartialEq, Eq, Subcommand)]
pub(crate) enum Command {
    /// Check whether this machine can run clusters, and say what to do where it cannot.
    Doctor,
    /// The kind clusters that carry virtual ones.
    Host {
        #[command(subcommand)]
        command: HostCommand,
    },
    /// Create a virtual cluster that lives until it is deleted.
    Create(CreateArguments),
    /// List virtual clusters, those of running tests among them.
    List,
    /// Print a kubeconfig that works from this machine.
    Kubeconfig {
        /// The cluster.
        #[arg(value_parser = cluster_name)]
        name: String,
    },
    /// Delete virtual clusters.
    Delete {
        /// The clusters.
        #[arg(required = true, value_parser = cluster_name)]
        names: Vec<String>,
        /// Wait until nothing of them is left, for at most this long.
        #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
        wait: Option<Duration>,
    },
    /// Remove what nobody owns or uses any more: virtual clusters whose owner is gone or whose time is up, hosts,
    /// containers, networks, images, and files of the cache.
    Prune {
        /// Only say what would be removed.
        #[arg(long)]
        dry_run: bool,
    },
    /// Make a page that shows where the time of a run of tests went.
    Timeline {
        /// The run's directory; that of the latest run of this workspace when absent.
        #[arg(value_name = "DIRECTORY")]
        run: Option<PathBuf>,
    },
    /// Print the logs of a virtual cluster's control plane and syncer.
    Logs(LogsArguments),
    /// Print the CI matrix that the tests of this workspace ask for with `matrix(..)`.
    ///
    /// The tests are built and listed, and none is run.
    Matrix(MatrixArguments),
}

#[derive(Debug, PartialEq, Eq, Subcommand)]
pub(crate) enum HostCommand {
    /// Start this machine's shared host, or find it.
    Up,
    /// Delete a host and all clusters in it.
    Down {
        /// The host; this machine's shared one when absent.
        name: Option<String>,
    },
    /// List the hosts on this machine's Docker engine.
    List,
}

#[derive(Debug, PartialEq, Eq, Args)]
pub(crate) struct CreateArguments {
    /// The cluster's name.
    #[arg(value_parser = cluster_name)]
    pub(crate) name: String,
    /// Which Kubernetes distribution its control plane is.
    #[arg(long, default_value = "k8s")]
    pub(crate) distro: String,
    /// Which Kubernetes version: `1.34`, `1.34.2`, `latest`, `latest-1` or `oldest`; 1.34 when absent.
    #[arg(long, value_parser = version)]
    pub(crate) version: Option<VersionRequest>,
    /// Where it keeps its objects: `etcd`, `kine`, or `env:NAME` for the database whose endpoint is in the
    /// variable NAME; the distro's choice when absent.
    // Judged later: a refusal by the parser shows the whole value.
    #[arg(long)]
    pub(crate) store: Option<String>,
    /// How many pods its control plane is made of: 1, 3 or 5.
    #[arg(long, default_value_t = 1)]
    pub(crate) replicas: u8,
}

#[derive(Debug, PartialEq, Eq, Args)]
pub(crate) struct LogsArguments {
    /// The cluster.
    #[arg(value_parser = cluster_name)]
    pub(crate) name: String,
    /// Only this container, such as `syncer` or `kube-apiserver`.
    #[arg(long, short)]
    pub(crate) container: Option<String>,
    /// Only the last lines of each container.
    #[arg(long, value_name = "LINES")]
    pub(crate) tail: Option<i64>,
    /// The logs of the containers' previous lives, after a restart.
    #[arg(long)]
    pub(crate) previous: bool,
}

#[derive(Debug, PartialEq, Eq, Args)]
pub(crate) struct MatrixArguments {
    /// For whom; a table, or what `--output` says, when absent.
    #[arg(long, value_enum, value_name = "FORM")]
    pub(crate) format: Option<MatrixForm>,
    /// Also the cells of tests that are ignored, for jobs that run those.
    #[arg(long)]
    pub(crate) include_ignored: bool,
    /// Passed to `cargo test`, such as `-- --package operator`; the default packages when absent.
    #[arg(last = true, value_name = "ARGUMENTS")]
    pub(crate) cargo: Vec<OsString>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum MatrixForm {
    /// One line for `strategy.matrix` of a GitHub workflow.
    Github,
    /// A hidden job for a GitLab pipeline to extend.
    Gitlab,
    /// For programs; the names of fields do not change.
    Json,
}

impl Arguments {
    /// Reads the words of a command line. Cargo runs `cargo-vcluster vcluster …`; both spellings work.
    ///
    /// # Errors
    /// They mean nothing, or ask for help.
    pub(crate) fn parse_words(
        words: impl IntoIterator<Item = OsString>,
    ) -> Result<Self, clap::Error> {
        let mut words: Vec<OsString> = words.into_iter().collect();
        if words.get(1).is_some_and(|word| word == "vcluster") {
            words.remove(1);
        }
        Self::try_parse_from(words)
    }
}

/// Host objects are called after the cluster, with prefixes and suffixes of ours; and the name must be
/// fit for a DNS label.
const LONGEST_NAME: usize = 40;

fn cluster_name(text: &str) -> Result<String, String> {
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let has_good_ends = !text.starts_with('-') && !text.ends_with('-');
    let starts_with_a_letter = text.starts_with(|first: char| first.is_ascii_lowercase());
    if text.len() > LONGEST_NAME {
        return Err(format!("a name has at most {LONGEST_NAME} characters"));
    }
    if text.bytes().all(fits) && has_good_ends && starts_with_a_letter {
        Ok(text.to_owned())
    } else {
        Err(
            "a name has lower-case letters, digits and dashes, starts with a letter and does not end with a dash"
                .to_owned(),
        )
    }
}

fn version(text: &str) -> Result<VersionRequest, String> {
    text.parse()
        .map_err(|error: vcluster_harness::version::ParseVersionError| error.to_string())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;
    use rstest::rstest;

    use super::*;

    fn parse(line: &str) -> Result<Arguments, clap::Error> {
        Arguments::parse_words(line.split(' ').map(OsString::from))
    }

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[rstest]
    #[case::by_cargo("cargo-vcluster vcluster list")]
    #[case::by_hand("cargo-vcluster list")]
    #[case::the_form_may_come_last("cargo-vcluster list --output human")]
    fn both_spellings_are_one(#[case] line: &str) {
        assert_eq!(parse(line).unwrap().command, Command::List);
    }

    #[test]
    fn a_cluster_has_a_distro_and_a_version() {
        let arguments = parse("cargo-vcluster create web --version 1.34 --output json").unwrap();
        assert_eq!(arguments.output, OutputForm::Json);
        assert_eq!(
            arguments.command,
            Command::Create(CreateArguments {
                name: "web".to_owned(),
                distro: "k8s".to_owned(),
                version: Some(VersionRequest::Minor(1, 34)),
                store: None,
                replicas: 1,
            })
        );
    }

    #[rstest]
    #[case::the_latest("timeline", None)]
    #[case::a_run("timeline target/vcluster/r1", Some("target/vcluster/r1"))]
    fn a_time_line_is_of_a_run(#[case] line: &str, #[case] run: Option<&str>) {
        let run = run.map(PathBuf::from);
        let arguments = parse(&format!("cargo-vcluster {line}")).unwrap();
        assert_eq!(arguments.command, Command::Timeline { run });
    }

    #[test]
    fn a_matrix_is_of_the_packages_that_are_named() {
        let arguments = parse("cargo-vcluster matrix --format github -- -p operator").unwrap();
        assert_eq!(
            arguments.command,
            Command::Matrix(MatrixArguments {
                format: Some(MatrixForm::Github),
                include_ignored: false,
                cargo: ["-p", "operator"].map(OsString::from).into(),
            })
        );
    }

    #[rstest]
    #[case::upper_case("create Web")]
    #[case::a_dash_first("create -- -web")]
    #[case::a_dash_last("create web-")]
    #[case::a_digit_first("create 1web")]
    #[case::a_dot("create web.example")]
    #[case::too_long("create aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa")]
    #[case::a_bad_version("create web --version newest")]
    #[case::no_name("delete")]
    #[case::an_unknown_word("crate web")]
    fn wrong_use_has_its_own_code(#[case] line: &str) {
        let error = parse(&format!("cargo-vcluster {line}")).unwrap_err();
        assert_eq!(error.exit_code(), 2, "{error}");
    }

    #[test]
    fn help_says_every_exit_code() {
        let help = Arguments::command().render_long_help().to_string();
        for code in crate::exit::Exit::ALL {
            assert!(
                help.contains(&format!("{} ", code.number())),
                "{code:?} is missing in {help}"
            );
        }
    }
}
