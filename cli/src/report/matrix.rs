//! `matrix`: cells for people, for programs, and for two kinds of CI.

use std::io;

use serde::Serialize;
use serde_json::{Value, json};

use crate::{
    matrix::Cell,
    output::{Report, Styled},
};

/// `matrix`.
#[derive(Debug, Serialize)]
pub(crate) struct Matrix {
    pub(crate) cells: Vec<Cell>,
}

impl Matrix {
    /// What `fromJSON` of a workflow takes for `strategy.matrix`, on one line for a step's output.
    pub(crate) fn github(&self) -> String {
        let jobs: Vec<_> = self.cells.iter().map(job).collect();
        json!({ "include": jobs }).to_string()
    }

    /// A hidden job to extend, in a file to include.
    ///
    /// # Errors
    /// The text has no form in YAML.
    pub(crate) fn gitlab(&self) -> Result<String, serde_yaml_ng::Error> {
        let jobs: Vec<_> = self.cells.iter().map(variables).collect();
        serde_yaml_ng::to_string(&json!({ ".vcluster-matrix": { "parallel": { "matrix": jobs } } }))
    }
}

/// Empty where the matrix does not vary it: an empty variable narrows nothing.
fn job(cell: &Cell) -> Value {
    json!({
        "name": cell.name,
        "distro": cell.distro.as_deref().unwrap_or_default(),
        "version": cell.version.as_deref().unwrap_or_default(),
        "tests": cell.tests.len(),
    })
}

fn variables(cell: &Cell) -> Value {
    json!({
        "VCLUSTER_CELL": cell.name,
        "VCLUSTER_TEST_DISTROS": cell.distro.as_deref().unwrap_or_default(),
        "VCLUSTER_TEST_VERSIONS": cell.version.as_deref().unwrap_or_default(),
    })
}

impl Report for Matrix {
    fn write_human(&self, out: &mut Styled<'_>) -> io::Result<()> {
        let any = |value: &Option<String>| value.clone().unwrap_or_else(|| "any".to_owned());
        let rows: Vec<_> = self
            .cells
            .iter()
            .map(|cell| {
                let tests = cell.tests.len().to_string();
                [
                    cell.name.clone(),
                    any(&cell.distro),
                    any(&cell.version),
                    tests,
                ]
            })
            .collect();
        out.table(
            ["CELL", "DISTRO", "VERSION", "TESTS"],
            &rows,
            "no test has a matrix",
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{matrix::cells, output::tests::both};

    fn matrix() -> Matrix {
        let cells = cells("works::k3s_1_34: test\nworks::k8s_latest_1: test\nolder::v1_33: test\n");
        Matrix { cells }
    }

    #[test]
    fn people_see_a_table_and_programs_the_tests() {
        insta::assert_snapshot!(both(&matrix()));
    }

    #[test]
    fn a_workflow_gets_one_line() {
        insta::assert_snapshot!(matrix().github());
    }

    #[test]
    fn a_pipeline_gets_a_job_to_extend() {
        insta::assert_snapshot!(matrix().gitlab().unwrap());
    }

    /// No machine of this project runs it, so nothing else would tell.
    #[test]
    fn the_workflow_of_this_repository_reads_what_a_job_says() {
        let path = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../.github/workflows/matrix.yml"
        );
        let text = std::fs::read_to_string(path).unwrap();
        let workflow: Value = serde_yaml_ng::from_str(&text).unwrap();
        let cell = &workflow["jobs"]["cell"];
        assert_eq!(
            cell["strategy"]["matrix"],
            "${{ fromJSON(needs.cells.outputs.matrix) }}"
        );
        let said = job(&matrix().cells[0]);
        let read: Vec<_> = text
            .split("${{ matrix.")
            .skip(1)
            .filter_map(|rest| rest.split(' ').next())
            .collect();
        assert_eq!(read, ["name", "name", "distro", "version"]);
        for key in read {
            assert!(said[key].is_string(), "{key}");
        }
    }
}
