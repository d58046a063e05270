//! Where bundles go: `target/vcluster/<run>/<test>`, with a link `latest` to the newest run.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use super::run_id::run_id;
use crate::settings::{Environment, ProcessEnvironment, Settings};

/// How many runs stay in the target directory. What the user names is the user's to clean.
const KEPT_RUNS: usize = 20;

/// The directory of this run's bundles and of its time line. Nothing is written before there is one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Artifacts {
    root: PathBuf,
    run: String,
    keeps: Keeps,
}

/// Which runs stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Keeps {
    All,
    Newest(usize),
}

impl Artifacts {
    /// What the settings say, else the target directory that this test was built in.
    pub fn new(settings: &Settings) -> Self {
        let (root, keeps) = if let Some(named) = &settings.artifacts {
            (named.clone(), Keeps::All)
        } else {
            let program = std::env::current_exe().unwrap_or_default();
            let target = target_directory(&program, &ProcessEnvironment);
            (target.join("vcluster"), Keeps::Newest(KEPT_RUNS))
        };
        Self {
            root,
            run: run_id(&ProcessEnvironment),
            keeps,
        }
    }

    /// Where the runs of the workspace around `directory` lie, for programs that are no tests.
    pub fn root_around(settings: &Settings, directory: &Path) -> PathBuf {
        root_around(settings, directory, &ProcessEnvironment)
    }

    /// The directory of this run, made when it is not there.
    pub(crate) fn of_run(&self) -> io::Result<PathBuf> {
        let run = self.root.join(&self.run);
        fs::create_dir_all(&run)?;
        // A convenience, and on some file systems impossible.
        if let Err(error) = self.point_latest() {
            tracing::debug!(%error, "no link to the latest run");
        }
        if let Err(error) = self.remove_old() {
            tracing::debug!(%error, "old runs stay");
        }
        Ok(run)
    }

    /// Makes a new directory for a test. A test that fails again, or has two clusters, gets another.
    pub(super) fn create(&self, test: &str) -> io::Result<PathBuf> {
        let run = self.of_run()?;
        let name = file_name(test);
        let mut path = run.join(&name);
        let mut number = 1;
        while let Err(error) = fs::create_dir(&path) {
            if error.kind() != io::ErrorKind::AlreadyExists {
                return Err(error);
            }
            number += 1;
            path = run.join(format!("{name}-{number}"));
        }
        Ok(path)
    }

    /// Other test processes may be at the same.
    fn remove_old(&self) -> io::Result<()> {
        let Keeps::Newest(count) = self.keeps else {
            return Ok(());
        };
        let mut runs = Vec::new();
        for entry in fs::read_dir(&self.root)? {
            let entry = entry?;
            // The link `latest` is no directory.
            if entry.file_type()?.is_dir() && *entry.file_name() != *self.run {
                runs.push((entry.metadata()?.modified()?, entry.path()));
            }
        }
        runs.sort();
        let old = (runs.len() + 1).saturating_sub(count);
        for (_, path) in &runs[..old] {
            fs::remove_dir_all(path)?;
        }
        Ok(())
    }

    /// Replaced in one step: other test processes do the same.
    fn point_latest(&self) -> io::Result<()> {
        let new = self.root.join(format!(".latest-{}", std::process::id()));
        match fs::remove_file(&new) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        std::os::unix::fs::symlink(&self.run, &new)?;
        fs::rename(&new, self.root.join("latest"))
    }
}

fn root_around(settings: &Settings, directory: &Path, env: &impl Environment) -> PathBuf {
    if let Some(named) = &settings.artifacts {
        return named.clone();
    }
    let is_workspace = |path: &&Path| path.join("Cargo.lock").exists();
    let target = env.get("CARGO_TARGET_DIR").map(PathBuf::from);
    let target = target.unwrap_or_else(|| {
        let workspace = directory.ancestors().find(is_workspace);
        workspace.unwrap_or(directory).join("target")
    });
    target.join("vcluster")
}

/// cargo marks its target directory; a test binary lies somewhere below it.
fn target_directory(program: &Path, env: &impl Environment) -> PathBuf {
    let is_target =
        |path: &&Path| path.join("CACHEDIR.TAG").exists() || path.join(".rustc_info.json").exists();
    let is_workspace = |path: &&Path| path.join("Cargo.lock").exists();
    let manifest = env.get("CARGO_MANIFEST_DIR").map(PathBuf::from);
    if let Some(target) = program.ancestors().find(is_target) {
        return target.to_owned();
    }
    if let Some(target) = env.get("CARGO_TARGET_DIR") {
        return target.into();
    }
    manifest
        .as_deref()
        .and_then(|manifest| manifest.ancestors().find(is_workspace))
        .map_or_else(std::env::temp_dir, |workspace| workspace.join("target"))
}

/// Colons and slashes are not welcome in file names everywhere, nor in what CI uploads.
pub(super) fn file_name(text: &str) -> String {
    let mut name: String = text
        .replace("::", ".")
        .chars()
        .map(|char| match char {
            'a'..='z' | 'A'..='Z' | '0'..='9' | '.' | '-' | '_' => char,
            _ => '_',
        })
        .take(120)
        .collect();
    if name.trim_matches('.').is_empty() {
        name.insert_str(0, "unnamed");
    }
    name
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use rstest::rstest;

    use super::*;

    fn artifacts(root: &Path) -> Artifacts {
        Artifacts {
            root: root.to_owned(),
            run: "r1".to_owned(),
            keeps: Keeps::All,
        }
    }

    #[test]
    fn only_the_newest_runs_stay() {
        let root = tempfile::tempdir().unwrap();
        for number in 0..4 {
            let run = Artifacts {
                run: format!("r{number}"),
                keeps: Keeps::Newest(2),
                ..artifacts(root.path())
            };
            let path = run.create("web").unwrap();
            // The clock of a file system may be too coarse to tell them apart.
            let then = SystemTime::UNIX_EPOCH + Duration::from_secs(1000 + number);
            let run = fs::File::open(path.parent().unwrap()).unwrap();
            run.set_modified(then).unwrap();
        }
        let newest = ["r0", "r1", "r2", "r3"].map(|run| root.path().join(run).exists());
        assert_eq!(newest, [false, false, true, true]);
    }

    #[test]
    fn each_failure_gets_a_directory_of_its_own() {
        let root = tempfile::tempdir().unwrap();
        let artifacts = artifacts(root.path());
        let first = artifacts.create("web::answers").unwrap();
        let second = artifacts.create("web::answers").unwrap();
        assert_eq!(first, root.path().join("r1/web.answers"));
        assert_eq!(second, root.path().join("r1/web.answers-2"));
    }

    #[test]
    fn latest_leads_to_the_newest_run() {
        let root = tempfile::tempdir().unwrap();
        artifacts(root.path()).create("a").unwrap();
        let newer = Artifacts {
            run: "r2".to_owned(),
            ..artifacts(root.path())
        };
        newer.create("b").unwrap();
        assert!(root.path().join("latest/b").is_dir());
    }

    #[rstest]
    #[case::a_path("web::answers::case_1", "web.answers.case_1")]
    #[case::odd_characters("a/b c", "a_b_c")]
    #[case::nothing_left("..", "unnamed..")]
    fn a_test_is_a_file_name(#[case] test: &str, #[case] expected: &str) {
        assert_eq!(file_name(test), expected);
    }

    #[test]
    fn the_target_directory_is_that_of_the_program() {
        let root = tempfile::tempdir().unwrap();
        let target = root.path().join("elsewhere");
        fs::create_dir_all(target.join("debug/deps")).unwrap();
        fs::write(target.join("CACHEDIR.TAG"), "").unwrap();
        let program = target.join("debug/deps/web-12");
        let env = [("CARGO_TARGET_DIR", "/not/this/one")];
        assert_eq!(target_directory(&program, &env), target);
    }

    #[test]
    fn runs_lie_where_the_workspace_is_built() {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("Cargo.lock"), "").unwrap();
        let mut settings = Settings::from_environment(&[]).unwrap();
        let inside = root.path().join("crates/web");
        let around = root_around(&settings, &inside, &[]);
        assert_eq!(around, root.path().join("target/vcluster"));
        let elsewhere = root_around(&settings, &inside, &[("CARGO_TARGET_DIR", "/t")]);
        assert_eq!(elsewhere, Path::new("/t/vcluster"));
        settings.artifacts = Some("/named".into());
        assert_eq!(root_around(&settings, &inside, &[]), Path::new("/named"));
    }

    #[test]
    fn without_a_mark_the_environment_counts() {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("Cargo.lock"), "").unwrap();
        let package = root.path().join("crates/web");
        let manifest = [("CARGO_MANIFEST_DIR", package.to_str().unwrap())];
        let program = Path::new("/usr/bin/web");
        assert_eq!(
            target_directory(program, &manifest),
            root.path().join("target")
        );
        let set = [("CARGO_TARGET_DIR", "/t")];
        assert_eq!(target_directory(program, &set), Path::new("/t"));
    }
}
