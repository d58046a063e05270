//! Starts the reaper: this same program once more, in a session of its own.

use std::{
    io::{self, BufRead as _, BufReader},
    os::unix::process::CommandExt as _,
    path::Path,
    process::{Child, ChildStdout, Command, Stdio},
    sync::mpsc,
    time::Duration,
};

use kube::config::Kubeconfig;

use super::order::Order;

/// Says to a program that it is to be the reaper of the run in this directory.
pub(super) const VARIABLE: &str = "VCLUSTER_TEST_REAPER_LEASE";

/// What a reaper writes on its standard output when it watches.
pub(super) const READY: &str = "vcluster-test reaper: watching";

/// What a list of processes shows.
pub(super) const NAME: &str = "vcluster-test-reaper";

/// How long the program may take to become a reaper. A debug build on a busy machine is slow to load.
const START_LIMIT: Duration = Duration::from_secs(30);

/// How this program is to be run so that it comes to [`run_if_asked`](super::run_if_asked).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Restart {
    /// It is a test binary; the test of this path asks first of all.
    Test(String),
    /// Its `main` asks, given these arguments.
    Program(Vec<String>),
}

/// A reaper at work. It is not ended with this process: that is its purpose.
#[derive(Debug)]
pub struct Running {
    child: Child,
}

/// A reaper that does not watch.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SpawnError {
    /// Its order could not be written.
    #[error("could not write the reaper's order to {}", directory.display())]
    Order {
        /// Where.
        directory: std::path::PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The process could not be started.
    #[error("could not start this program again")]
    Start {
        /// Why.
        source: io::Error,
    },
    /// It ended without watching.
    #[error("this program, run again as `{arguments}`, ended without becoming a reaper")]
    Ended {
        /// What it was given.
        arguments: String,
    },
    /// It takes too long.
    #[error(
        "this program, run again as `{arguments}`, did not become a reaper within {} s",
        START_LIMIT.as_secs()
    )]
    Slow {
        /// What it was given.
        arguments: String,
    },
}

impl Restart {
    fn arguments(&self) -> Vec<String> {
        match self {
            Self::Test(path) => [
                path,
                "--exact",
                "--include-ignored",
                "--nocapture",
                "--test-threads=1",
            ]
            .map(str::to_owned)
            .into(),
            Self::Program(arguments) => arguments.clone(),
        }
    }
}

impl Running {
    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }
}

/// Starts a reaper for the run in `directory`, whose lease this process holds, and returns when it
/// watches. Blocks the thread.
///
/// # Errors
/// It cannot be started, or does not watch in time.
pub fn spawn(
    restart: &Restart,
    directory: &Path,
    order: &Order,
    kubeconfig: &Kubeconfig,
) -> Result<Running, SpawnError> {
    order
        .write(directory, kubeconfig)
        .map_err(|source| SpawnError::Order {
            directory: directory.to_owned(),
            source,
        })?;
    let arguments = restart.arguments();
    let start = |source| SpawnError::Start { source };
    let mut child = Command::new(this_program().map_err(start)?)
        .arg0(NAME)
        .args(&arguments)
        .env(VARIABLE, directory)
        .current_dir("/")
        .stdin(Stdio::null())
        // Ours, not our parent's: a runner that waits for the end of its pipe must not wait for the reaper.
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(start)?;
    let arguments = arguments.join(" ");
    let error = match child.stdout.take().map(is_watching) {
        Some(Ok(true)) => return Ok(Running { child }),
        Some(Err(mpsc::RecvTimeoutError::Timeout)) => SpawnError::Slow { arguments },
        _ => SpawnError::Ended { arguments },
    };
    // It may be anything but a reaper, and must not become one after all.
    if let Err(error) = child.kill().and_then(|()| child.wait()) {
        tracing::debug!(%error, "what was to be the reaper could not be ended");
    }
    Err(error)
}

/// The file that runs, even if it has been replaced or removed since.
pub(super) fn this_program() -> io::Result<std::path::PathBuf> {
    if cfg!(target_os = "linux") {
        Ok("/proc/self/exe".into())
    } else {
        std::env::current_exe()
    }
}

fn is_watching(stdout: ChildStdout) -> Result<bool, mpsc::RecvTimeoutError> {
    let (said, answer) = mpsc::channel();
    std::thread::spawn(move || {
        // To the end: only then has it let go of the pipe as well.
        let watching = BufReader::new(stdout)
            .lines()
            .map_while(Result::ok)
            .filter(|line| line.contains(READY))
            .count()
            > 0;
        // Nobody listens any more when it took too long.
        said.send(watching).ok();
    });
    answer.recv_timeout(START_LIMIT)
}
