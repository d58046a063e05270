//! `fuzz`: builds the fuzzers with the compiler that everything else is built with, and runs them. What they
//! need of a compiler is what libFuzzer looks at; sanitizers, which need another one, would find nothing in
//! safe code.

use std::process::Command;

use anyhow::Context as _;
use clap::ValueEnum as _;

use crate::{
    arguments::{FuzzArguments, Fuzzer},
    process,
    summary::{Outcome, Summary},
    workspace,
};

/// Every branch and comparison is counted, as `cargo fuzz` has it.
const FLAGS: &str = "--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
                     -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
                     -Cllvm-args=-sanitizer-coverage-pc-table \
                     -Cllvm-args=-sanitizer-coverage-trace-compares";

/// No input is read for longer, in seconds.
const LONGEST: u32 = 10;

impl Fuzzer {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Annotations => "annotations",
            Self::Configuration => "configuration",
            Self::Identities => "identities",
            Self::RelayRequests => "relay_requests",
            Self::RelayTargets => "relay_targets",
            Self::StoredValues => "stored_values",
        }
    }
}

pub(crate) fn run(arguments: &FuzzArguments, summary: &mut Summary) -> anyhow::Result<()> {
    let platform = platform()?;
    let target = workspace::root().join("target/fuzz");
    // With a platform named, build scripts and macros are left as they are.
    process::run(
        workspace::cargo()
            .args(["build", "--release", "--manifest-path", "fuzz/Cargo.toml"])
            .args(["--target", &platform])
            .arg("--target-dir")
            .arg(&target)
            .env("RUSTFLAGS", FLAGS),
    )?;
    let programs = target.join(platform).join("release");
    let asked = arguments.fuzzers.as_slice();
    let all = Fuzzer::value_variants();
    for fuzzer in if asked.is_empty() { all } else { asked } {
        let name = fuzzer.name();
        summary.step(name, || {
            let folders = ["corpus", "seeds", "artifacts"];
            let [corpus, seeds, artifacts] =
                folders.map(|folder| workspace::root().join("fuzz").join(folder).join(name));
            for folder in [&corpus, &artifacts] {
                std::fs::create_dir_all(folder)
                    .with_context(|| format!("could not make {}", folder.display()))?;
            }
            let mut program = Command::new(programs.join(name));
            // What is new goes into the first folder.
            program
                .args([corpus, seeds])
                .arg(format!("-artifact_prefix={}/", artifacts.display()))
                .arg(format!("-max_total_time={}", 60 * arguments.minutes))
                .arg(format!("-timeout={LONGEST}"));
            match process::run(&mut program) {
                Ok(()) => Ok(Outcome::Passed),
                Err(process::Error::Failed { .. }) => Ok(Outcome::Failed),
                Err(error) => Err(error.into()),
            }
        })?;
    }
    Ok(())
}

/// The platform of the compiler, which is the one that it compiles for.
fn platform() -> anyhow::Result<String> {
    let said = process::capture(Command::new("rustc").arg("-vV"))?;
    let platform = said.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(platform
        .context("rustc does not say its platform")?
        .to_owned())
}
