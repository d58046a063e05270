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

/// Advisories are shown but do not fail: they appear without a change of ours.
pub(crate) fn deny(summary: &mut Summary) -> anyhow::Result<()> {
    let installed = process::capture(workspace::cargo().args(["deny", "--version"])).is_ok();
    if !installed {
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
