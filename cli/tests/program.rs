//! The program as a script sees it: exit codes, and what goes to which stream. No engine is needed.

#![expect(clippy::unwrap_used, reason = "how a test fails")]

use std::process::{Command, Output};

use rstest::rstest;

/// A machine without an engine, with an empty cache and somebody else's kubeconfig.
struct Machine {
    home: tempfile::TempDir,
}

impl Machine {
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        std::fs::write(home.path().join("kubeconfig"), "not: [a, kubeconfig").unwrap();
        Self { home }
    }

    fn run(&self, line: &str) -> Output {
        self.run_with(line, &[])
    }

    fn run_with(&self, line: &str, environment: &[(&str, &str)]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_cargo-vcluster"))
            .args(line.split(' '))
            .env_clear()
            .env("HOME", self.home.path())
            .env("KUBECONFIG", self.home.path().join("kubeconfig"))
            .env("DOCKER_HOST", "unix:///nonexistent/docker.sock")
            .envs(environment.iter().copied())
            .output()
            .unwrap()
    }
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[rstest]
#[case::help("--help", 0)]
#[case::version("--version", 0)]
#[case::no_command("", 2)]
#[case::an_unknown_command("crate web", 2)]
#[case::a_bad_name("create Web", 2)]
#[case::an_unknown_distro("create web --distro k9s", 2)]
#[case::a_version_that_is_not_in_the_lock_file("create web --version 1.2", 92)]
#[case::no_engine("list", 95)]
#[case::no_engine_for_a_host("host list", 95)]
#[case::a_sick_machine("doctor", 100)]
fn each_ending_has_its_number(#[case] line: &str, #[case] code: i32) {
    let output = Machine::new().run(line);
    assert_eq!(output.status.code(), Some(code), "{}", text(&output.stderr));
}

#[test]
fn a_setting_that_means_nothing_is_named() {
    let output = Machine::new().run_with("list", &[("VCLUSTER_TEST_KEEP", "sometimes")]);
    assert_eq!(output.status.code(), Some(96));
    let complaint = text(&output.stderr);
    assert!(
        complaint.contains("VCLUSTER_TEST_KEEP=`sometimes`"),
        "{complaint}"
    );
}

#[test]
fn a_complaint_leaves_standard_output_empty() {
    let output = Machine::new().run("list --output json");
    assert_eq!(text(&output.stdout), "");
    assert!(text(&output.stderr).starts_with("error: "), "{output:?}");
}

#[test]
fn doctor_is_one_json_document_even_when_it_found_something() {
    let output = Machine::new().run("doctor --output json");
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["ok"], false);
    assert_eq!(report["checks"][0]["name"], "engine");
    assert_eq!(report["checks"][0]["status"], "failed");
}

#[test]
fn the_users_kubeconfig_and_the_other_projects_variables_mean_nothing() {
    let machine = Machine::new();
    let plain = machine.run("doctor");
    let other = machine.run_with(
        "doctor",
        &[
            ("VCLUSTER_NAME", "x"),
            ("VCLUSTER_VERSION", "9"),
            ("KUBECONFIG", "/nonexistent"),
        ],
    );
    assert_eq!(plain.status.code(), other.status.code());
    let after = std::fs::read_to_string(machine.home.path().join("kubeconfig")).unwrap();
    assert_eq!(after, "not: [a, kubeconfig");
    assert!(!machine.home.path().join(".kube").exists());
}

#[test]
fn no_color_reaches_a_pipe() {
    let output = Machine::new().run("doctor");
    assert!(!text(&output.stdout).contains('\u{1b}'), "{output:?}");
    assert!(!text(&output.stderr).contains('\u{1b}'), "{output:?}");
}

/// What stands in for cargo: it says that it was called as it should, and lists these tests, or those of them that are
/// ignored.
fn cargo(
    directory: &std::path::Path,
    listing: &str,
    ignored: &str,
    code: i32,
) -> std::path::PathBuf {
    use std::os::unix::fs::PermissionsExt as _;
    let path = directory.join("cargo");
    let script = format!(
        "#!/bin/sh\ncase \"$*\" in\n\
         'test -p operator -- works --list --format terse') printf '%b' '{listing}' ;;\n\
         'test -p operator -- works --list --format terse --ignored') printf '%b' '{ignored}' ;;\n\
         *) exit 77 ;;\nesac\nexit {code}\n"
    );
    std::fs::write(&path, script).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path
}

const CELL: &str = "a::k3s_1_34: test\\nb: test\\n";

#[rstest]
#[case::cells("", CELL, "", 0, 0, "k3s_1_34")]
#[case::no_cells("", "b: test\\n", "", 0, 4, "no test of these packages has a matrix")]
#[case::no_build("", "", "", 101, 1, "cargo test ended with")]
#[case::ignored("", CELL, CELL, 0, 4, "--include-ignored takes them")]
#[case::ignored_and_asked_for("--include-ignored ", CELL, CELL, 0, 0, "k3s_1_34")]
fn a_matrix_is_what_the_tests_say(
    #[case] option: &str,
    #[case] listing: &str,
    #[case] ignored: &str,
    #[case] cargo_ends: i32,
    #[case] code: i32,
    #[case] said: &str,
) {
    let machine = Machine::new();
    let cargo = cargo(machine.home.path(), listing, ignored, cargo_ends);
    let output = machine.run_with(
        &format!("matrix --format github {option}-- -p operator -- works"),
        &[("CARGO", cargo.to_str().unwrap())],
    );
    let all = format!("{}{}", text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{all}");
    assert!(all.contains(said), "{all}");
    assert_eq!(output.stdout.is_empty(), code != 0, "{all}");
}
