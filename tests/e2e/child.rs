//! Tests that are run by other tests, in a process of their own that may be ended in any way.
//!
//! An inner test is marked `#[ignore]` and does nothing unless it was started from here.

use std::{
    io::{BufRead as _, BufReader, Read, Write as _},
    os::unix::process::CommandExt as _,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex},
    thread::{self, JoinHandle},
    time::Duration,
};

use rustix::process::{Pid, Signal};
use vcluster_harness::{cluster::VirtualCluster, deadline::Deadline, owner::Owner};

/// Set for inner tests.
pub(crate) const INNER: &str = "E2E_INNER";

/// What an inner test says of its cluster, in front of the namespace.
pub(crate) const CLUSTER: &str = "inner cluster: ";

/// How long a test may take to start, on a machine that does more than this.
const START_LIMIT: Duration = Duration::from_mins(5);

/// How a runner starts a test and ends it.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Runner {
    /// `cargo test`: signals of the terminal reach all processes of the run.
    CargoTest,
    /// nextest: a process per test, each the leader of a group, to which signals are sent.
    Nextest,
}

/// A running inner test.
pub(crate) struct Inner {
    process: Child,
    output: Arc<Mutex<String>>,
    readers: Vec<JoinHandle<()>>,
}

/// An inner test that has ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) pid: u32,
    pub(crate) status: ExitStatus,
    /// What it wrote on both of its streams.
    pub(crate) output: String,
}

/// Was this test started by another? Inner tests end at once when they were not.
pub(crate) fn is_inner() -> bool {
    std::env::var_os(INNER).is_some()
}

/// Tells the parent which cluster this inner test has.
pub(crate) fn announce(cluster: &VirtualCluster) -> anyhow::Result<()> {
    let mut stdout = std::io::stdout();
    writeln!(stdout, "\n{CLUSTER}{}", cluster.namespace())?;
    Ok(stdout.flush()?)
}

/// Waits until whoever started this test is gone: an inner test that runs until it is ended must not
/// outlive an outer one that was killed.
pub(crate) async fn parent_is_gone() {
    // An end of file, or an error: either means that nobody holds the other end.
    drop(tokio::task::spawn_blocking(|| std::io::stdin().read(&mut [0])).await);
}

impl Runner {
    /// Starts the inner test of this path.
    pub(crate) fn start(self, test: &str, environment: &[(&str, &str)]) -> anyhow::Result<Inner> {
        self.start_by(Command::new("env"), test, environment)
    }

    /// Starts it by a command that ends with `env`, and becomes the test.
    pub(crate) fn start_by(
        self,
        mut command: Command,
        test: &str,
        environment: &[(&str, &str)],
    ) -> anyhow::Result<Inner> {
        command
            // Whoever runs the tests may ignore a signal, as shells in the background do; a child would inherit that.
            .arg("--default-signal=HUP,INT,TERM")
            .arg(std::env::current_exe()?)
            .args([test, "--exact", "--ignored", "--nocapture"])
            .env(INNER, "1")
            .env("RUST_BACKTRACE", "0")
            // What the outer run was told is not for the inner one.
            .env_remove("VCLUSTER_TEST_KEEP")
            .env("VCLUSTER_TEST_POOL", "off")
            // Its reaper shall not stay to watch a host for half an hour.
            .env("VCLUSTER_TEST_HOST_IDLE", "never")
            // Its end is not the outer run's business.
            .env("VCLUSTER_TEST_RUN", format!("e2e-{}", std::process::id()))
            .envs(environment.iter().copied())
            // It stays open as long as this process lives: see `parent_is_gone`.
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        match self {
            Self::CargoTest => command.args(["--test-threads", "4"]),
            Self::Nextest => command
                .env("NEXTEST", "1")
                .env("NEXTEST_RUN_ID", format!("e2e-{}", std::process::id()))
                .env("NEXTEST_EXECUTION_MODE", "process-per-test"),
        };
        // Both: a signal to the group of the outer run would end that as well.
        let mut process = command.process_group(0).spawn()?;
        let output = Arc::default();
        let readers = vec![
            read(process.stdout.take(), &output),
            read(process.stderr.take(), &output),
        ];
        Ok(Inner {
            process,
            output,
            readers,
        })
    }
}

impl Inner {
    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Waits until the test has a cluster, and gives its namespace.
    pub(crate) fn cluster(&mut self) -> String {
        self.after(CLUSTER)
    }

    /// Waits until it says something, and gives the word that follows.
    pub(crate) fn after(&mut self, words: &str) -> String {
        let deadline = Deadline::after("inner test", START_LIMIT);
        loop {
            let has_ended = self.process.try_wait().expect("it is our child").is_some();
            let output = self.output.lock().expect("no reader panics").clone();
            if let Some(word) = word_after(&output, words) {
                return word;
            }
            assert!(
                !has_ended,
                "the inner test ended without `{words}`:\n{output}"
            );
            assert!(!deadline.is_over(), "no `{words}`:\n{output}");
            thread::sleep(Duration::from_millis(5));
        }
    }

    pub(crate) fn signal(&self, signal: Signal) {
        rustix::process::kill_process(Pid::from_child(&self.process), signal)
            .expect("it is our child");
    }

    /// As a runner does that has lost patience.
    pub(crate) fn kill_group(&self) {
        rustix::process::kill_process_group(Pid::from_child(&self.process), Signal::KILL)
            .expect("it is our child");
    }

    /// Waits for the end of the process and then, not longer than a runner would, for the end of what it
    /// may have started with its streams.
    pub(crate) fn end(mut self) -> Ended {
        // Waiting would close it, and the test would end by itself.
        let _stdin = self.process.stdin.take();
        let status = self.process.wait().expect("it is our child");
        let leak = Deadline::after("streams", Duration::from_secs(1));
        while !self.readers.iter().all(JoinHandle::is_finished) {
            assert!(
                !leak.is_over(),
                "a process that it left behind holds its streams"
            );
            thread::sleep(Duration::from_millis(5));
        }
        let output = self.output.lock().expect("no reader panics").clone();
        Ended {
            pid: self.pid(),
            status,
            output,
        }
    }

    /// The same, for one that has so long to come to its end.
    pub(crate) fn end_within(mut self, limit: Duration) -> Ended {
        let deadline = Deadline::after("inner test", limit);
        while self.process.try_wait().expect("it is our child").is_none() {
            let output = || self.output.lock().expect("no reader panics").clone();
            assert!(
                !deadline.is_over(),
                "the inner test does not end:\n{}",
                output()
            );
            thread::sleep(Duration::from_millis(5));
        }
        self.end()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // After a failed assertion; ended ones are gone already.
        drop(self.process.kill().and_then(|()| self.process.wait()));
    }
}

impl Ended {
    /// The word that it said after these.
    pub(crate) fn word_after(&self, words: &str) -> Option<String> {
        word_after(&self.output, words)
    }
}

/// Output is read in whole lines, so the word is there to its end.
fn word_after(output: &str, words: &str) -> Option<String> {
    let (_, rest) = output.lines().find_map(|line| line.split_once(words))?;
    let word = rest.split_whitespace().next()?;
    Some(word.trim_matches('"').to_owned())
}

fn read(stream: Option<impl Read + Send + 'static>, output: &Arc<Mutex<String>>) -> JoinHandle<()> {
    let output = Arc::clone(output);
    let stream = stream.expect("it is piped");
    thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            let mut output = output.lock().expect("no reader panics");
            output.push_str(&line);
            output.push('\n');
        }
    })
}

/// Is this the owner of a cluster that the process made?
pub(crate) fn is_of(owner: &Owner, pid: u32) -> bool {
    owner.process.is_some_and(|process| process.pid == pid)
}
