//! A Docker engine of a test's own, in a network of its own: it may be stopped and killed, and nobody else notices.

use std::{
    fs::File,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, ensure};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use vcluster_harness::{deadline::Deadline, engine::Engine, settings::Settings};

use crate::{
    child::{Inner, Runner},
    own_host::delete_locks,
};

/// How long an engine may take to answer, and to stop what runs in it.
const PATIENCE: Duration = Duration::from_mins(1);

/// An engine, and a name for the host in it.
pub(crate) struct OwnEngine {
    directory: TempDir,
    host: String,
    /// Sleeps for as long as the network is needed.
    network: Child,
    /// `None` while it is off.
    dockerd: Option<Child>,
}

impl OwnEngine {
    /// Starts one without an image. Only root may.
    pub(crate) async fn start() -> anyhow::Result<Self> {
        let mut engine = Self {
            directory: tempfile::Builder::new().prefix("e2e-engine-").tempdir()?,
            host: format!("e2e-engine-{}", std::process::id()),
            network: new_network()?,
            dockerd: None,
        };
        engine.power_on().await?;
        Ok(engine)
    }

    /// Starts the process and waits until it answers.
    pub(crate) async fn power_on(&mut self) -> anyhow::Result<()> {
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.path("dockerd.log"))?;
        let mut command = Command::new("nsenter");
        command
            .arg(self.in_network())
            .arg("dockerd")
            .arg("--data-root")
            .arg(self.path("data"))
            .arg("--exec-root")
            .arg(self.path("exec"))
            .arg("--pidfile")
            .arg(self.path("docker.pid"))
            .arg("--host")
            .arg(self.address())
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .process_group(0);
        self.dockerd = Some(command.spawn().context("could not run nsenter")?);
        let deadline = Deadline::after("the engine", PATIENCE);
        let address = self.address();
        while Engine::connect_with(&[("DOCKER_HOST", address.as_str())])
            .await
            .is_err()
        {
            let said = || std::fs::read_to_string(self.path("dockerd.log")).unwrap_or_default();
            ensure!(!deadline.is_over(), "no engine:\n{}", said());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Ok(())
    }

    /// Asks it to end, which ends what runs in it.
    pub(crate) fn power_off(&mut self) -> anyhow::Result<()> {
        if let Some(mut dockerd) = self.dockerd.take() {
            kill_process(Pid::from_child(&dockerd), Signal::TERM)?;
            dockerd.wait()?;
        }
        Ok(())
    }

    /// Ends it and everything that runs in it at once, as when the machine goes dark.
    pub(crate) fn lose_power(&mut self) -> anyhow::Result<()> {
        let own = self.path("");
        let is_its = |process: &Process| process.command.contains(&own.display().to_string());
        let processes = processes();
        let its: Vec<i32> = processes
            .iter()
            .filter(|it| is_its(it))
            .map(|it| it.pid)
            .collect();
        // The first process of a container takes the rest of it along.
        let in_containers = processes.iter().filter(|it| its.contains(&it.parent));
        let all = its.iter().copied().chain(in_containers.map(|it| it.pid));
        for pid in all.filter_map(Pid::from_raw) {
            // One may have ended with another.
            kill_process(pid, Signal::KILL).ok();
        }
        if let Some(mut dockerd) = self.dockerd.take() {
            dockerd.wait()?;
        }
        Ok(())
    }

    /// Starts an inner test on the host in this engine.
    pub(crate) fn run(&self, test: &str, more: &[(&str, &str)]) -> anyhow::Result<Inner> {
        let (address, host) = (self.address(), format!("kind:{}", self.host));
        let mut environment = vec![
            ("DOCKER_HOST", address.as_str()),
            ("VCLUSTER_TEST_HOST", host.as_str()),
        ];
        environment.extend(more);
        let mut command = Command::new("nsenter");
        command.arg(self.in_network()).arg("env");
        Runner::Nextest.start_by(command, test, &environment)
    }

    fn address(&self) -> String {
        format!("unix://{}", self.path("docker.sock").display())
    }

    fn in_network(&self) -> String {
        format!("--net=/proc/{}/ns/net", self.network.id())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }
}

impl Drop for OwnEngine {
    fn drop(&mut self) {
        // Whatever fails here, a test has failed before or the next one does. What ends by itself leaves least.
        drop(self.power_off());
        drop(self.lose_power());
        drop(unmount_all(self.directory.path()));
        drop(self.network.kill().and_then(|()| self.network.wait()));
        if let Ok(settings) = Settings::from_process() {
            drop(delete_locks(&settings, &self.host));
        }
    }
}

/// A process in a network of its own, in which it is alone with itself.
fn new_network() -> anyhow::Result<Child> {
    let script = "ip link set lo up && echo up && exec sleep infinity";
    let mut network = Command::new("unshare")
        .args(["--net", "sh", "-c", script])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .process_group(0)
        .spawn()
        .context("could not run unshare")?;
    let mut said = String::new();
    let stdout = network.stdout.take().context("it is piped")?;
    std::io::BufRead::read_line(&mut std::io::BufReader::new(stdout), &mut said)?;
    ensure!(
        said == "up\n",
        "no network of our own; only root may have one"
    );
    Ok(network)
}

/// What containers that were killed leave.
fn unmount_all(directory: &Path) -> anyhow::Result<()> {
    let mounts = std::fs::read_to_string("/proc/self/mounts")?;
    let points = mounts.lines().filter_map(|line| line.split(' ').nth(1));
    let ours: Vec<_> = points
        .filter(|point| Path::new(point).starts_with(directory))
        .collect();
    for point in ours.iter().rev() {
        Command::new("umount").args(["--lazy", point]).status()?;
    }
    Ok(())
}

struct Process {
    pid: i32,
    parent: i32,
    command: String,
}

fn processes() -> Vec<Process> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter_map(|pid: i32| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // Fields: PID (NAME) STATE PARENT …, where the name may hold anything.
        let (_, fields) = stat.rsplit_once(") ")?;
        let command = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        Some(Process {
            pid,
            parent: fields.split(' ').nth(1)?.parse().ok()?,
            command: String::from_utf8_lossy(&command).replace('\0', " "),
        })
    })
    .collect()
}
