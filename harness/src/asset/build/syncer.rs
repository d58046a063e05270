//! The syncer as a static program: from this workspace when there is one, else from the package registry.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::process::Command;

use super::{Error, command};
use crate::{
    asset::store::{Key, Store},
    progress::Progress,
};

/// Where the syncer's source is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Source {
    /// In the workspace of this crate.
    Workspace {
        /// Its root.
        root: PathBuf,
        /// A digest of all that goes into the program.
        inputs: Key,
    },
    /// In the package registry, in the version of this crate.
    Registry,
}

const NAME: &str = "vcluster-syncer";
const LIMIT: Duration = Duration::from_mins(30);
/// Static, since its image holds nothing else; and at a fixed address, since a table of what to relocate is
/// read at every start and stays in memory.
const FLAGS: &str = "-C target-feature=+crt-static -C relocation-model=static";
/// Folders and files that do not go into the program: tests, and what they play with.
const LEFT_OUT: &[&str] = &[
    "benches",
    "examples",
    "fake_api",
    "scenarios",
    "target",
    "tests",
    "tests.rs",
];

impl Source {
    /// Looks for the workspace and reads what goes into the program.
    ///
    /// # Errors
    /// The sources cannot be read.
    pub(crate) fn find() -> Result<Self, Error> {
        let Some(root) = Path::new(env!("CARGO_MANIFEST_DIR")).parent() else {
            return Ok(Self::Registry);
        };
        let syncer = root.join("syncer");
        if !syncer.join("Cargo.toml").is_file() || !root.join("Cargo.lock").is_file() {
            return Ok(Self::Registry);
        }
        let mut files = vec![root.join("Cargo.toml"), root.join("Cargo.lock")];
        collect(&syncer, &mut files)?;
        files.sort();
        let mut inputs = vec![target().into_bytes(), FLAGS.into()];
        for file in files {
            let name = file.strip_prefix(root).unwrap_or(&file);
            inputs.push(name.to_string_lossy().into_owned().into_bytes());
            inputs.push(std::fs::read(&file).map_err(Error::io("read", &file))?);
        }
        Ok(Self::Workspace {
            root: root.to_owned(),
            inputs: Key::new(title(), inputs),
        })
    }

    /// The key of the program.
    pub(crate) fn key(&self) -> Key {
        match self {
            Self::Workspace { inputs, .. } => inputs.clone(),
            Self::Registry => Key::new(title(), ["registry", &target(), FLAGS]),
        }
    }

    /// Builds it into `output`.
    ///
    /// # Errors
    /// Cargo is missing or failed.
    pub(crate) async fn build(
        &self,
        store: &Store,
        progress: &Progress,
        output: &Path,
    ) -> Result<(), Error> {
        if !command::exists("cargo") {
            return Err(Error::MissingTool {
                tool: "cargo",
                purpose: "to build the syncer",
                remedy: "install Rust, or name an image with VCLUSTER_TEST_SYNCER_IMAGE",
            });
        }
        let _claim = store.claim("cargo-build", "a build of the syncer").await?;
        let step = progress.step("building the syncer");
        let directory = store.lasting("cargo-target");
        match self {
            Self::Workspace { root, .. } => {
                let mut cargo = cargo(&directory);
                cargo
                    .current_dir(root)
                    .args(["build", "--locked", "--profile", "syncer"])
                    .args(["--target", &target(), "--package", NAME, "--bin", NAME]);
                let built = command::run(&mut cargo, LIMIT).await;
                // What came out, or the failure, may be of other sources than the key says.
                if Self::find()? != *self {
                    return Err(Error::SourcesChanged);
                }
                built?;
                let program = directory.join(target()).join("syncer").join(NAME);
                std::fs::copy(&program, output).map_err(Error::io("write", output))?;
            }
            Self::Registry => {
                let installed = store.work("cargo-install")?;
                let mut cargo = cargo(&directory);
                cargo
                    .args(["install", "--locked", "--no-track", "--target", &target()])
                    .args(["--version", concat!("=", env!("CARGO_PKG_VERSION"))])
                    .arg("--root")
                    .arg(installed.path())
                    .arg(NAME);
                command::run(&mut cargo, LIMIT).await?;
                let program = installed.path().join("bin").join(NAME);
                std::fs::copy(&program, output).map_err(Error::io("write", output))?;
            }
        }
        step.done();
        Ok(())
    }
}

/// Cargo as if the user had called it: a test runs inside another cargo, whose settings are not ours.
fn cargo(directory: &Path) -> Command {
    let mut command = Command::new("cargo");
    let ours = [
        "CARGO_ENCODED_",
        "CARGO_BUILD_",
        "CARGO_PROFILE_",
        "CARGO_TARGET_",
        "RUSTFLAGS",
    ];
    let inherited = std::env::vars_os().map(|(name, _)| name).filter(|name| {
        let name = name.to_string_lossy();
        ours.iter().any(|prefix| name.starts_with(prefix))
    });
    for name in inherited {
        command.env_remove(name);
    }
    command
        .env("CARGO_TARGET_DIR", directory)
        .env("RUSTFLAGS", FLAGS);
    command
}

fn title() -> String {
    concat!("syncer-v", env!("CARGO_PKG_VERSION")).to_owned()
}

/// The architecture of this machine, linked statically against the usual C library.
fn target() -> String {
    format!("{}-unknown-linux-gnu", std::env::consts::ARCH)
}

fn collect(directory: &Path, files: &mut Vec<PathBuf>) -> Result<(), Error> {
    let entries = std::fs::read_dir(directory).map_err(Error::io("read", directory))?;
    for entry in entries {
        let path = entry.map_err(Error::io("read", directory))?.path();
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        if LEFT_OUT.contains(&name.as_str()) {
            continue;
        }
        if path.is_dir() {
            collect(&path, files)?;
        } else {
            files.push(path);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_change_of_tests_is_no_reason_to_build() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        for folder in ["src/reset", "src/scenarios", "tests"] {
            fs::create_dir_all(root.join(folder)).unwrap();
        }
        let sources = ["Cargo.toml", "src/main.rs", "src/reset/plan.rs"];
        let tests = ["src/reset/tests.rs", "src/scenarios/a.rs", "tests/all.rs"];
        for file in sources.iter().chain(&tests) {
            fs::write(root.join(file), "").unwrap();
        }
        let mut files = Vec::new();
        collect(root, &mut files).unwrap();
        files.sort();
        assert_eq!(files, sources.map(|file| root.join(file)));
    }
}
