//! The second test runner: cargo-nextest, the machine's own or built from its release into this project's cache.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::Command,
};

use vcluster_harness::{progress::Progress, settings::Settings};

use super::{
    machine::find_program,
    run::{Error, locked},
};
use crate::{process, workspace};

const NAME: &str = "cargo-nextest";

/// The release that is built.
const VERSION: &str = "0.9.151";

/// The oldest that may be there already, as `.config/nextest.toml` says.
const OLDEST: (u32, u32, u32) = (0, 9, 98);

/// What of the surroundings is about another build than this one.
const OF_BUILDS: [&str; 5] = [
    "CARGO_BUILD_",
    "CARGO_ENCODED_",
    "CARGO_PROFILE_",
    "CARGO_TARGET_",
    "RUSTFLAGS",
];

/// Where cargo-nextest is, built first where it is missing, which takes minutes once.
pub(crate) fn prepare_nextest(settings: &Settings, progress: &Progress) -> Result<PathBuf, Error> {
    if let Some(program) = find_program(NAME).filter(|program| is_new_enough(program)) {
        return Ok(program);
    }
    let tools = settings.cache.join("tools");
    let place = tools.join(format!("{NAME}-{VERSION}"));
    let program = place.join("bin").join(NAME);
    if program.is_file() {
        return Ok(program);
    }
    let directory = settings.cache.join("setup");
    let _lock = locked(&directory, progress)?;
    if program.is_file() {
        return Ok(program);
    }
    let step = progress.step(format!("building {NAME} {VERSION}, once"));
    // It stays when this is interrupted: the next one goes on from there.
    let work = directory.join(format!("{NAME}-target"));
    let log = directory.join(format!("{NAME}.log"));
    process::run_logged(&mut install(&place, &work), &log).map_err(Error::Nextest)?;
    clear(&work)
        .and_then(|()| forget_others(&tools, &place))
        .map_err(|source| Error::Directory {
            path: directory,
            source,
        })?;
    step.done();
    Ok(program)
}

/// Without what updates itself, and not optimised: it waits for tests nearly all the time.
fn install(place: &Path, work: &Path) -> Command {
    let mut cargo = workspace::cargo();
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if OF_BUILDS.iter().any(|prefix| text.starts_with(prefix)) {
            cargo.env_remove(&name);
        }
    }
    cargo
        .args(["install", "--locked", "--debug", NAME, "--version", VERSION])
        .args(["--no-default-features", "--features", "default-no-update"])
        .arg("--root")
        .arg(place)
        .env("CARGO_TARGET_DIR", work)
        .env("CARGO_PROFILE_DEV_DEBUG", "0");
    cargo
}

/// Other releases, which this project used before.
fn forget_others(tools: &Path, place: &Path) -> io::Result<()> {
    for entry in fs::read_dir(tools)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if path != place && name.starts_with(NAME) {
            clear(&path)?;
        }
    }
    Ok(())
}

fn clear(directory: &Path) -> io::Result<()> {
    match fs::remove_dir_all(directory) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn is_new_enough(program: &Path) -> bool {
    let said = process::capture(Command::new(program).args(["nextest", "--version"]));
    said.ok().and_then(|said| version(&said)) >= Some(OLDEST)
}

/// The version in `cargo-nextest 0.9.151 (…)`.
fn version(said: &str) -> Option<(u32, u32, u32)> {
    let mut numbers = said.split_whitespace().nth(1)?.split('.');
    let mut number = || numbers.next()?.parse().ok();
    Some((number()?, number()?, number()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_version_is_read() {
        assert_eq!(
            version("cargo-nextest 0.9.151 (cafe 2026-01-01)\nrelease: 0.9.151\n"),
            Some((0, 9, 151))
        );
        assert_eq!(version("cargo-nextest\n"), None);
        assert_eq!(version(""), None);
    }

    #[test]
    fn the_oldest_is_the_one_that_the_configuration_asks_for() {
        let file = workspace::root().join(".config/nextest.toml");
        let (major, minor, patch) = OLDEST;
        let line = format!("nextest-version = \"{major}.{minor}.{patch}\"");
        let configuration = fs::read_to_string(file).unwrap();
        assert!(configuration.lines().any(|each| each == line));
    }

    #[test]
    fn releases_of_before_go_and_other_tools_stay() {
        let tools = tempfile::tempdir().unwrap();
        let new = tools.path().join(format!("{NAME}-{VERSION}"));
        for name in ["cargo-nextest-0.9.1", "another", "cargo-nextest-0.9.151"] {
            fs::create_dir_all(tools.path().join(name).join("bin")).unwrap();
        }
        forget_others(tools.path(), &new).unwrap();
        let mut left: Vec<_> = fs::read_dir(tools.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        left.sort();
        assert_eq!(left, ["another", "cargo-nextest-0.9.151"]);
    }
}
