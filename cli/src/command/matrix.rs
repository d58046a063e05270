//! `matrix`: the CI matrix that the tests of a workspace ask for, so that nobody writes it twice.

use std::{env, ffi::OsString, io::Write as _, process::Stdio};

use tokio::process::Command;

use super::run::Context;
use crate::{
    arguments::{MatrixArguments, MatrixForm},
    exit::{Exit, Failure},
    matrix,
    report::Matrix,
};

pub(super) async fn matrix(cx: &Context, arguments: MatrixArguments) -> Result<Exit, Failure> {
    let mut listed = listing(&arguments.cargo, None).await?;
    let mut why_none = "no test of these packages has a matrix: #[vcluster_test(matrix(distro = [..]))] gives it one";
    if !arguments.include_ignored {
        // A job would run nothing of such a cell, and pass.
        let ignored = listing(&arguments.cargo, Some("--ignored")).await?;
        if !matrix::cells(&ignored).is_empty() {
            why_none = "every test of these packages that has a matrix is ignored: --include-ignored takes them all the same";
        }
        listed = matrix::without(&listed, &ignored);
    }
    let cells = matrix::cells(&listed);
    if cells.is_empty() {
        return Err(Failure::nothing_selected(why_none));
    }
    let matrix = Matrix { cells };
    let unexpected = |error| Failure::new(Exit::Unexpected, error);
    let text = match arguments.format {
        None => {
            cx.print(&matrix)?;
            return Ok(Exit::Good);
        }
        Some(MatrixForm::Json) => serde_json::to_string_pretty(&matrix)
            .map_err(|error| Failure::new(Exit::Unexpected, error))?,
        Some(MatrixForm::Github) => matrix.github(),
        Some(MatrixForm::Gitlab) => matrix
            .gitlab()
            .map_err(|error| Failure::new(Exit::Unexpected, error))?,
    };
    writeln!(std::io::stdout(), "{}", text.trim_end()).map_err(unexpected)?;
    Ok(Exit::Good)
}

/// What the tests of the packages say that they are. Builds them, runs none.
async fn listing(passed_on: &[OsString], which: Option<&str>) -> Result<String, Failure> {
    // The caller may have words for the tests as well, such as a filter.
    let end = (!passed_on.iter().any(|word| word == "--")).then_some("--");
    // Cargo tells its own path to the commands that it runs.
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .arg("test")
        .args(passed_on)
        .args(end)
        .args(["--list", "--format", "terse"])
        .args(which)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .await
        .map_err(|error| {
            let error = anyhow::Error::from(error).context("could not run cargo");
            Failure::new(Exit::Unexpected, error)
        })?;
    if !output.status.success() {
        let error = anyhow::anyhow!(
            "the tests cannot be listed: cargo test ended with {}",
            output.status
        );
        return Err(Failure::new(Exit::Unexpected, error));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
