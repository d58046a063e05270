//! This workspace: where it is, which test programs it has.

use std::{path::Path, process::Command};

use anyhow::Context as _;
use serde::Deserialize;

use crate::process;

/// Packages whose integration tests need a host.
pub(crate) const NEED_HOST: [&str; 2] = ["e2e", "vcluster-examples"];

/// Integration test programs by what they need.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct TestPrograms {
    pub(crate) hermetic: Vec<String>,
    pub(crate) need_host: Vec<String>,
}

/// The directory of the workspace.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("xtask lies in the workspace")
}

/// Cargo, to be run at the root.
pub(crate) fn cargo() -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(root());
    cargo
}

/// Asks cargo for all integration tests.
pub(crate) fn test_programs() -> anyhow::Result<TestPrograms> {
    Ok(split(&metadata()?))
}

/// The names of all packages.
pub(crate) fn packages() -> anyhow::Result<Vec<String>> {
    let metadata = metadata()?;
    Ok(metadata.packages.into_iter().map(|p| p.name).collect())
}

#[derive(Debug, Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Debug, Deserialize)]
struct Package {
    name: String,
    targets: Vec<Target>,
}

#[derive(Debug, Deserialize)]
struct Target {
    name: String,
    kind: Vec<String>,
}

fn metadata() -> anyhow::Result<Metadata> {
    let listing = process::capture(cargo().args(["metadata", "--no-deps", "--format-version=1"]))?;
    serde_json::from_str(&listing).context("cargo metadata gave something unexpected")
}

fn split(metadata: &Metadata) -> TestPrograms {
    let mut programs = TestPrograms::default();
    for package in &metadata.packages {
        let names = package
            .targets
            .iter()
            .filter(|target| target.kind.iter().any(|kind| kind == "test"))
            .map(|target| target.name.clone());
        if NEED_HOST.contains(&package.name.as_str()) {
            programs.need_host.extend(names);
        } else {
            programs.hermetic.extend(names);
        }
    }
    programs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_package_that_needs_a_host_exists() {
        let packages = packages().unwrap();
        assert!(
            NEED_HOST
                .iter()
                .all(|name| packages.iter().any(|package| package == name)),
            "{packages:?}"
        );
    }

    #[test]
    fn no_test_program_is_both() {
        // Cargo selects test programs by name alone.
        let programs = test_programs().unwrap();
        assert!(
            !programs
                .hermetic
                .iter()
                .any(|name| programs.need_host.contains(name)),
            "{programs:?}"
        );
        assert!(programs.need_host.contains(&"e2e".to_owned()));
    }
}
