//! An engine of our own starting, for machines where nobody else starts one.
//!
//! It runs detached, so that it outlives this command, and never replaces one that runs.

use std::{
    ffi::OsStr,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use crate::process;

/// Files by which `dockerd` and its `containerd` know themselves, and the program that each must belong to.
const PID_FILES: [(&str, &str); 2] = [
    ("/var/run/docker.pid", "dockerd"),
    ("/var/run/docker/containerd/containerd.pid", "containerd"),
];

/// An engine process that could not be started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum Error {
    /// Its log could not be opened.
    #[error("could not open log file {}", path.display())]
    Log {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A pid file of an engine that is gone could not be removed.
    #[error("could not remove {}, left behind by an engine that is gone", path.display())]
    StalePidFile {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The program could not be run.
    #[error(transparent)]
    Start(#[from] process::Error),
}

/// A started `dockerd`.
#[derive(Debug)]
pub(crate) struct Daemon {
    child: Child,
    log: Log,
}

/// What a daemon said since its start.
#[derive(Debug, Clone)]
pub(crate) struct Log {
    path: PathBuf,
    start: u64,
}

impl Daemon {
    /// Starts `dockerd` in a session of its own; it writes to `dockerd.log` in this directory.
    pub(crate) fn start(dockerd: &Path, directory: &Path) -> Result<Self, Error> {
        for (file, program) in PID_FILES {
            remove_if_stale(Path::new(file), Path::new("/proc"), program)?;
        }
        Self::spawn(&[dockerd.as_os_str()], directory)
    }

    fn spawn(words: &[&OsStr], directory: &Path) -> Result<Self, Error> {
        let path = directory.join("dockerd.log");
        let open = || -> io::Result<(File, File)> {
            let file = File::options().create(true).append(true).open(&path)?;
            Ok((file.try_clone()?, file))
        };
        let (out, err) = open().map_err(|source| Error::Log {
            path: path.clone(),
            source,
        })?;
        let start = path.metadata().map_or(0, |file| file.len());
        let mut command = Command::new("setsid");
        command
            .args(words)
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(err);
        let child = command
            .spawn()
            .map_err(|source| process::start_error(&command, source))?;
        Ok(Self {
            child,
            log: Log { path, start },
        })
    }

    /// How it ended, if it has.
    pub(crate) fn ended(&mut self) -> Option<String> {
        match self.child.try_wait() {
            Ok(None) => None,
            Ok(Some(status)) => Some(status.to_string()),
            Err(error) => Some(error.to_string()),
        }
    }

    /// What it says.
    pub(crate) fn log(&self) -> Log {
        self.log.clone()
    }
}

impl Log {
    /// The last lines, each indented on a line of its own.
    pub(crate) fn last_words(&self) -> String {
        process::tail(&process::said_since(&self.path, self.start))
    }

    /// The file.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

/// Is a `dockerd` running that was started by whomever? One that just started does not answer yet.
pub(crate) fn is_running() -> bool {
    let [(file, program), _] = PID_FILES;
    is_alive(Path::new(file), Path::new("/proc"), program)
}

/// Does the process in this pid file live, and is it the right program? The engine itself only asks
/// whether *some* process has the number: after a restart of the machine one often has, and where
/// nobody collects dead children the dead one itself has it.
fn is_alive(file: &Path, proc: &Path, program: &str) -> bool {
    let Ok(content) = fs::read_to_string(file) else {
        return false;
    };
    // Fields: PID (NAME) STATE …, where the name may hold anything.
    let stat = fs::read_to_string(proc.join(content.trim()).join("stat")).unwrap_or_default();
    let name_and_state = stat
        .split_once('(')
        .and_then(|(_, rest)| rest.rsplit_once(") "));
    name_and_state.is_some_and(|(name, state)| name == program && !state.starts_with('Z'))
}

fn remove_if_stale(file: &Path, proc: &Path, program: &str) -> Result<(), Error> {
    if is_alive(file, proc, program) {
        return Ok(());
    }
    match fs::remove_file(file) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => Err(Error::StalePidFile {
            path: file.to_owned(),
            source,
        }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::of_the_engine("4711 (dockerd) S 1 4711", true)]
    #[case::of_a_process_with_the_same_number("4711 (sshd) S 1 4711", false)]
    #[case::of_an_engine_that_died_uncollected("4711 (dockerd) Z 1 4711", false)]
    #[case::of_nobody("", false)]
    fn a_pid_file_stays_only_while_its_program_runs(#[case] stat: &str, #[case] stays: bool) {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("docker.pid");
        fs::write(&file, "4711").unwrap();
        if !stat.is_empty() {
            fs::create_dir(dir.path().join("4711")).unwrap();
            fs::write(dir.path().join("4711/stat"), stat).unwrap();
        }
        remove_if_stale(&file, dir.path(), "dockerd").unwrap();
        assert_eq!(file.exists(), stays);
    }

    #[test]
    fn no_pid_file_is_fine() {
        remove_if_stale(Path::new("/nonexistent/pid"), Path::new("/proc"), "dockerd").unwrap();
    }

    #[test]
    fn a_daemon_that_dies_leaves_its_last_words() {
        let dir = tempfile::tempdir().unwrap();
        let words = ["sh", "-c", "echo no graph driver >&2; exit 1"].map(OsStr::new);
        let mut daemon = Daemon::spawn(&words, dir.path()).unwrap();
        daemon.child.wait().unwrap();
        assert_eq!(daemon.ended().as_deref(), Some("exit status: 1"));
        assert_eq!(daemon.log().last_words(), "\n    no graph driver");
    }
}
