//! One cycle: a test with a cluster, in a process of its own, that comes to its end or is killed.

use std::{
    path::PathBuf,
    process::Stdio,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail, ensure};
use rustix::process::{Pid, Signal};
use serde::Deserialize;
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncRead, BufReader},
    process::{Child, Command},
    sync::mpsc,
    task::JoinSet,
};

use crate::{process, workspace};

/// The test that is run, and the program it is in.
const TEST: &str = "life::inner::passes";
const PROGRAM: &str = "e2e";

/// What all processes of a soak carry in their environment, and nobody else.
const MARK: &str = "VCLUSTER_SOAK";

/// How long a whole cycle may take on a busy machine.
const LIMIT: Duration = Duration::from_mins(5);

/// The program that is run in each cycle.
#[derive(Debug)]
pub(super) struct Program {
    path: PathBuf,
    /// What all processes of this soak have in common.
    mark: String,
    /// Where its processes put what is temporary.
    pub(super) scratch: TempDir,
    /// Where their bundles and their time line go.
    artifacts: TempDir,
}

/// How a cycle is to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// By itself.
    Whole,
    /// By SIGKILL, now and then together with its reaper.
    Killed { at: Moment, with_reaper: bool },
}

/// When a cycle is killed. Time alone would be another part of its life on a machine that is busier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Moment {
    /// When it has said so much,
    pub(super) lines: usize,
    /// and so long after that.
    pub(super) and: Duration,
}

/// A cycle that has ended.
#[derive(Debug)]
pub(super) struct Cycle {
    pub(super) pid: u32,
    /// Its session, when it came to have one.
    pub(super) session: Option<String>,
    /// The last part of its start that it told of.
    pub(super) phase: Option<String>,
    pub(super) took: Duration,
    pub(super) was_killed: bool,
    /// How long after its begin it said what it had to say, a line each.
    pub(super) pace: Vec<Duration>,
}

impl Program {
    /// Builds it.
    pub(super) fn build() -> anyhow::Result<Self> {
        Self::at(build_tests()?)
    }

    /// One that is built.
    pub(super) fn at(path: PathBuf) -> anyhow::Result<Self> {
        Ok(Self {
            path,
            mark: format!("{}-{}", std::process::id(), super::luck::seed()),
            scratch: tempfile::tempdir()?,
            artifacts: tempfile::tempdir()?,
        })
    }

    /// Runs the cycle of this number.
    pub(super) async fn run(&self, number: u32, end: End) -> anyhow::Result<Cycle> {
        let began = Instant::now();
        let mark = format!("{}-{number}", self.mark);
        let mut child = self.start(&mark)?;
        let pid = child.id().context("the test has no process")?;
        // The test lives as long as this is open.
        let input = child.stdin.take();
        let mut said = Said::listen(began, child.stdout.take(), child.stderr.take());
        let was_killed = match end {
            End::Whole => false,
            End::Killed { at, with_reaper } => {
                let is_quicker = tokio::select! {
                    // Either may be dropped half-way: it is only waited for.
                    ended = child.wait() => ended.map(|_| true)?,
                    () = said.has_come_to(at) => false,
                };
                if !is_quicker {
                    kill_group(pid)?;
                    if with_reaper {
                        kill_all(&mark);
                    }
                }
                !is_quicker
            }
        };
        let status = tokio::time::timeout(LIMIT, child.wait()).await;
        drop(input);
        let Ok(status) = status else {
            bail!("the test did not end within {} s", LIMIT.as_secs());
        };
        let (status, said) = (status?, said.all().await?);
        let (pace, lines): (Vec<_>, Vec<_>) = said.into_iter().unzip();
        ensure!(
            was_killed || status.success(),
            "the test ended with {status}:\n{}",
            lines.join("\n")
        );
        Ok(Cycle {
            pid,
            session: word_after(&lines, "begun session="),
            phase: word_after(&lines, "passed phase="),
            took: began.elapsed(),
            was_killed,
            pace,
        })
    }

    fn start(&self, mark: &str) -> anyhow::Result<Child> {
        Ok(Command::new(&self.path)
            .args([TEST, "--exact", "--ignored", "--nocapture"])
            .env("E2E_INNER", "1")
            .env(MARK, mark)
            .env("TMPDIR", self.scratch.path())
            .env("VCLUSTER_TEST_ARTIFACTS", self.artifacts.path())
            .env("VCLUSTER_TEST_RUN", format!("soak-{}", self.mark))
            .env("VCLUSTER_TEST_LOG", "vcluster_harness=debug")
            .env("VCLUSTER_TEST_HOST_IDLE", "never")
            .env("NO_COLOR", "1")
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?)
    }

    /// The processes of all cycles that live, reapers among them.
    pub(super) fn processes(&self) -> Vec<(Pid, String)> {
        let of_soak = format!("{}-", self.mark);
        processes(|mark| mark.starts_with(&of_soak))
    }
}

/// The processes that carry such a mark, and their command lines.
fn processes(is_wanted: impl Fn(&str) -> bool) -> Vec<(Pid, String)> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter_map(|pid: i32| {
        let environment = std::fs::read(format!("/proc/{pid}/environ")).ok()?;
        let words = environment.split(|byte| *byte == 0);
        let mut words = words.filter_map(|word| std::str::from_utf8(word).ok());
        let mark = words.find_map(|word| word.strip_prefix(MARK)?.strip_prefix('='))?;
        if !is_wanted(mark) {
            return None;
        }
        let command = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        let command = String::from_utf8_lossy(&command).replace('\0', " ");
        Some((Pid::from_raw(pid)?, command.trim().to_owned()))
    })
    .collect()
}

fn kill_all(mark: &str) {
    for (pid, _) in processes(|found| found == mark) {
        // It may have ended meanwhile.
        rustix::process::kill_process(pid, Signal::KILL).ok();
    }
}

/// Builds the end-to-end tests, and says where they are.
pub(crate) fn build_tests() -> anyhow::Result<PathBuf> {
    let mut cargo = workspace::cargo();
    cargo.args(["test", "--workspace", "--test", PROGRAM, "--no-run"]);
    cargo.args(["--message-format", "json"]);
    let messages = process::capture(&mut cargo)?;
    executable(&messages).context("cargo did not say where the test program is")
}

fn kill_group(pid: u32) -> anyhow::Result<()> {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    let pid = pid.context("the test has no process id")?;
    Ok(rustix::process::kill_process_group(pid, Signal::KILL)?)
}

/// What a test says on both of its streams, and when.
struct Said {
    lines: mpsc::UnboundedReceiver<(Duration, String)>,
    so_far: Vec<(Duration, String)>,
    readers: JoinSet<()>,
}

impl Said {
    fn listen(
        began: Instant,
        out: Option<impl AsyncRead + Send + Unpin + 'static>,
        err: Option<impl AsyncRead + Send + Unpin + 'static>,
    ) -> Self {
        let (says, lines) = mpsc::unbounded_channel();
        let mut readers = JoinSet::new();
        if let (Some(out), Some(err)) = (out, err) {
            readers.spawn(read(out, began, says.clone()));
            readers.spawn(read(err, began, says));
        }
        Self {
            lines,
            so_far: Vec::new(),
            readers,
        }
    }

    /// Waits for the moment; without end if it does not come.
    async fn has_come_to(&mut self, moment: Moment) {
        while self.so_far.len() < moment.lines {
            match self.lines.recv().await {
                Some(line) => self.so_far.push(line),
                None => return std::future::pending().await,
            }
        }
        tokio::time::sleep(moment.and).await;
    }

    /// Everything, when both streams have ended.
    async fn all(mut self) -> anyhow::Result<Vec<(Duration, String)>> {
        while let Some(line) = self.lines.recv().await {
            self.so_far.push(line);
        }
        while let Some(ended) = self.readers.join_next().await {
            ended?;
        }
        Ok(self.so_far)
    }
}

async fn read(
    stream: impl AsyncRead + Unpin,
    began: Instant,
    says: mpsc::UnboundedSender<(Duration, String)>,
) {
    let mut lines = BufReader::new(stream).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        // Nobody listens any more when the cycle was given up.
        says.send((began.elapsed(), line)).ok();
    }
}

/// The word that was last said after these.
fn word_after(said: &[String], words: &str) -> Option<String> {
    let (_, rest) = said.iter().rev().find_map(|line| line.split_once(words))?;
    let word = rest.split_whitespace().next()?;
    Some(word.trim_matches('"').to_owned())
}

fn executable(messages: &str) -> Option<PathBuf> {
    #[derive(Deserialize)]
    struct Message {
        executable: Option<PathBuf>,
        target: Option<Target>,
    }
    #[derive(Deserialize)]
    struct Target {
        name: String,
    }
    let messages = messages
        .lines()
        .filter_map(|line| serde_json::from_str::<Message>(line).ok());
    messages
        .filter(|message| {
            message
                .target
                .as_ref()
                .is_some_and(|target| target.name == PROGRAM)
        })
        .find_map(|message| message.executable)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_is_found_among_what_cargo_says() {
        let messages = r#"{"reason":"compiler-artifact","target":{"name":"e2e"},"executable":null}
{"reason":"compiler-artifact","target":{"name":"web"},"executable":"/t/web"}
{"reason":"compiler-artifact","target":{"name":"e2e"},"executable":"/t/e2e-1"}
{"reason":"build-finished","success":true}"#;
        assert_eq!(executable(messages), Some(PathBuf::from("/t/e2e-1")));
    }

    #[test]
    fn the_last_phase_counts() {
        let said = [
            "begun session=\"ab12\" host=x",
            "passed phase=address",
            "passed phase=objects elapsed=1s",
        ];
        let said = said.map(str::to_owned);
        assert_eq!(word_after(&said, "begun session=").as_deref(), Some("ab12"));
        assert_eq!(
            word_after(&said, "passed phase=").as_deref(),
            Some("objects")
        );
    }
}
