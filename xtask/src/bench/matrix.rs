//! A small test in every cell of a matrix of three distros and three versions, as `cargo test` runs it.

use std::{path::Path, process::Command, time::Instant};

use anyhow::ensure;
use vcluster_harness::{distro, version::VersionRequest};

use super::measurement::{Figures, Unit};
use crate::process;

/// A pod, a service, its name, and a command in the pod.
const TEST: &str = "distros::runs_a_pod";

/// The minor versions of the cells: the host's, and one on each side of it.
const MINORS: [u32; 3] = [33, 34, 35];

pub(crate) fn versions() -> [VersionRequest; 3] {
    MINORS.map(|minor| VersionRequest::Minor(1, minor))
}

/// Runs it once, with the images of a directory and everything else as it is.
pub(crate) fn measure(program: &Path, assets: &Path, figures: &mut Figures) -> anyhow::Result<()> {
    let cells = cells();
    let mut tests = Command::new(program);
    tests
        .args(["--exact", "--ignored"])
        .args(&cells)
        .env("VCLUSTER_TEST_ASSETS", assets)
        .env("VCLUSTER_TEST_REQUIRE", "1")
        .env_remove("VCLUSTER_TEST_DISTROS")
        .env_remove("VCLUSTER_TEST_VERSIONS");
    let called = Instant::now();
    let said = process::capture(&mut tests)?;
    let elapsed = called.elapsed();
    // A filter that finds nothing is no error to the test program.
    ensure!(
        said.contains(&format!("{} passed", cells.len())),
        "not every cell of the matrix was run:\n{said}"
    );
    figures.add("matrix.3x3", Unit::Seconds, elapsed.as_secs_f64());
    Ok(())
}

fn cells() -> Vec<String> {
    let names = distro::all().iter().map(|distro| distro.name());
    names
        .flat_map(|name| MINORS.map(|minor| format!("{TEST}::{name}_1_{minor}")))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_matrix_has_nine_cells() {
        let cells = cells();
        assert_eq!(cells.len(), 9);
        assert_eq!(cells[0], "distros::runs_a_pod::k8s_1_33");
        assert_eq!(cells[8], "distros::runs_a_pod::k0s_1_35");
    }
}
