//! Checks that need no test: format, lints, documents, dependencies, each crate alone.

use std::process::Command;

use crate::{
    process,
    summary::{Outcome, Summary},
    workspace,
};

pub(crate) fn fmt(summary: &mut Summary) -> anyhow::Result<()> {
    check(
        "fmt",
        workspace::cargo().args(["fmt", "--all", "--check"]),
        summary,
    )
}

pub(crate) fn lint(summary: &mut Summary) -> anyhow::Result<()> {
    check(
        "lint",
        workspace::cargo().args([
            "clippy",
            "--workspace",
            "--all-targets",
            "--",
            "-D",
            "warnings",
        ]),
        summary,
    )
}

pub(crate) fn doc(summary: &mut Summary) -> anyhow::Result<()> {
    check(
        "doc",
        workspace::cargo()
            .args([
                "doc",
                "--workspace",
                "--no-deps",
                "--document-private-items",
            ])
            .env("RUSTDOCFLAGS", "-D warnings"),
        summary,
    )
}

pub(crate) fn deny(summary: &mut Summary) -> anyhow::Result<()> {
    if !has_deny() {
        return summary.step("deny", || {
            Ok(Outcome::Skipped("cargo-deny is not installed"))
        });
    }
    check(
        "deny",
        workspace::cargo().args(["deny", "check", "licenses", "sources", "bans"]),
        summary,
    )
}

/// Advisories are shown and never fail: they appear without a change of ours. Not part of CI, because
/// their database is fetched from the network.
pub(crate) fn advisories(summary: &mut Summary) -> anyhow::Result<()> {
    if !has_deny() {
        return Ok(());
    }
    summary.step("advisories", || {
        let clean = passes(workspace::cargo().args(["deny", "check", "advisories"]))?;
        Ok(if clean {
            Outcome::Passed
        } else {
            Outcome::Skipped("see above; they do not fail a change")
        })
    })
}

pub(crate) fn each(summary: &mut Summary) -> anyhow::Result<()> {
    let packages = workspace::packages()?;
    summary.step("each crate alone", || {
        let mut all = true;
        for package in &packages {
            all &=
                passes(workspace::cargo().args(["check", "--all-targets", "--package", package]))?;
        }
        Ok(Outcome::from(all))
    })
}

/// The oldest API types that `k8s-openapi` still has. Users choose theirs; the workspace uses newer ones.
const OLDEST_TYPES: &str = "1.33";

/// What users depend on compiles with the oldest API types: fields came to be optional since.
pub(crate) fn oldest_types(summary: &mut Summary) -> anyhow::Result<()> {
    check(
        "oldest API types",
        workspace::cargo()
            .args(["check", "--lib"])
            .args(["--package", "vcluster-harness"])
            .args(["--package", "vcluster-fixtures"])
            .env("K8S_OPENAPI_ENABLED_VERSION", OLDEST_TYPES),
        summary,
    )
}

fn has_deny() -> bool {
    process::capture(workspace::cargo().args(["deny", "--version"])).is_ok()
}

fn check(name: &'static str, command: &mut Command, summary: &mut Summary) -> anyhow::Result<()> {
    summary.step(name, || Ok(Outcome::from(passes(command)?)))
}

/// A program that ran and said no is an answer; one that could not be run is an error.
fn passes(command: &mut Command) -> anyhow::Result<bool> {
    match process::run(command) {
        Ok(()) => Ok(true),
        Err(process::Error::Failed { .. }) => Ok(false),
        Err(error) => Err(error.into()),
    }
}
