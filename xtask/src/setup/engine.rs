//! A Docker engine that answers: found, else started, else installed and started.
//!
//! An engine that works is never touched.

use std::{path::Path, time::Duration};

use vcluster_harness::{
    deadline::Deadline,
    engine::{self, Engine},
    progress::Progress,
};

use super::{
    apt::{self, Apt},
    cgroup,
    daemon::{self, Daemon},
    machine::{self, Machine},
};
use crate::process;

/// The oldest engine that is installed: older ones cannot run a privileged container where the
/// machine itself lacks a capability.
const OLDEST: u32 = 26;
/// The Debian release that has one.
const RELEASE: &str = "trixie";
/// Where an engine of this machine listens; any other is the user's own affair.
const ENDPOINT: &str = "unix:///var/run/docker.sock";

/// No engine, and why.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum Error {
    /// There is one that is not ours to mend: the user named it, or may not use it.
    #[error(transparent)]
    NotOurs(engine::Error),
    /// None is installed, and this machine is not one where it can be done.
    #[error("no Docker engine is installed, and {reason}; {advice}, and run this again")]
    CannotInstall {
        /// Why not.
        reason: String,
        /// What to do, with commands.
        advice: String,
    },
    /// One is installed and does not run, and only root may start it.
    #[error(
        "the Docker engine is installed but not running, and only root may start it; run `{command}` and run this again"
    )]
    CannotStart {
        /// What to do.
        command: &'static str,
    },
    /// The machine lacks what an engine needs.
    #[error(transparent)]
    ControlGroups(#[from] cgroup::Error),
    /// Its package could not be installed.
    #[error("could not install the Docker engine")]
    Install(#[from] apt::Error),
    /// Its service or process could not be started.
    #[error("could not start the Docker engine")]
    Service(#[source] process::Error),
    /// Its process could not be started.
    #[error("could not start the Docker engine")]
    Start(#[from] daemon::Error),
    /// It was started and ended.
    #[error("the Docker engine ended while starting ({status}); its last words:{last_words}")]
    Ended {
        /// How it ended.
        status: String,
        /// The end of its log.
        last_words: String,
    },
    /// It was started and does not answer.
    #[error("the Docker engine does not answer {} s after its start; its last words:{last_words}", waited.as_secs())]
    Silent {
        /// How long it had.
        waited: Duration,
        /// The end of its log.
        last_words: String,
        /// What the last attempt to reach it said.
        #[source]
        source: engine::Error,
    },
}

/// Makes sure that an engine answers. `directory` takes logs.
pub(crate) async fn ensure(progress: &Progress, directory: &Path) -> Result<(), Error> {
    match Engine::connect().await {
        Ok(engine) => {
            progress.note(&format!("Docker engine {} is used", version(&engine).await));
            return Ok(());
        }
        Err(engine::Error::Missing { .. }) => {}
        Err(engine::Error::Stopped { endpoint, .. }) if endpoint == ENDPOINT => {}
        Err(error) => return Err(Error::NotOurs(error)),
    }
    let machine = Machine::detect();
    cgroup::version()?;
    let dockerd = if let Some(dockerd) = machine::find_program("dockerd") {
        dockerd
    } else {
        may_install(&machine)?;
        Apt::new(progress, directory).install_newer("docker.io", OLDEST, RELEASE)?;
        machine::find_program("dockerd").unwrap_or_else(|| "/usr/sbin/dockerd".into())
    };
    if !machine.is_root {
        return Err(Error::CannotStart {
            command: if machine.has_systemd {
                "sudo systemctl start docker"
            } else {
                "sudo setsid dockerd"
            },
        });
    }
    if machine.has_systemd {
        start_service(progress).await
    } else if daemon::is_running() {
        wait_for_another(progress).await
    } else {
        start_process(progress, &dockerd, directory).await
    }
}

async fn start_service(progress: &Progress) -> Result<(), Error> {
    let step = progress.step("starting the Docker engine (docker.service)");
    process::capture(std::process::Command::new("systemctl").args(["start", "docker"]))
        .map_err(Error::Service)?;
    let deadline = Deadline::after("Docker engine", Duration::from_mins(1));
    wait_for(
        deadline,
        answer,
        || None,
        || "\n    (see `journalctl -u docker`)".to_owned(),
    )
    .await?;
    step.done();
    Ok(())
}

/// One that somebody else has just started, or that hangs.
async fn wait_for_another(progress: &Progress) -> Result<(), Error> {
    let step = progress.step("waiting for the Docker engine that is running already");
    let deadline = Deadline::after("Docker engine", Duration::from_mins(1));
    let advice = || {
        "\n    (started elsewhere; if it hangs, end the process in /var/run/docker.pid and run this again)"
            .to_owned()
    };
    wait_for(deadline, answer, || None, advice).await?;
    step.done();
    Ok(())
}

async fn start_process(progress: &Progress, dockerd: &Path, directory: &Path) -> Result<(), Error> {
    let step = progress.step("starting the Docker engine");
    let mut daemon = Daemon::start(dockerd, directory)?;
    step.detail(&format!("log in {}", daemon.log().path().display()));
    // One that was killed with many containers needs a while to find out what is left of them.
    let deadline = Deadline::after("Docker engine", Duration::from_mins(2));
    let log = daemon.log();
    wait_for(deadline, answer, || daemon.ended(), || log.last_words()).await?;
    step.done();
    Ok(())
}

async fn wait_for(
    deadline: Deadline,
    answer: impl AsyncFn() -> Result<(), engine::Error>,
    mut ended: impl FnMut() -> Option<String>,
    last_words: impl Fn() -> String,
) -> Result<(), Error> {
    loop {
        let Err(silence) = answer().await else {
            return Ok(());
        };
        if let Some(status) = ended() {
            return Err(Error::Ended {
                status,
                last_words: last_words(),
            });
        }
        if deadline.is_over() {
            return Err(Error::Silent {
                waited: deadline.limit(),
                last_words: last_words(),
                source: silence,
            });
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn answer() -> Result<(), engine::Error> {
    Engine::connect().await.map(|_| ())
}

/// For people only.
async fn version(engine: &Engine) -> String {
    let answer = engine.docker().version().await;
    answer
        .ok()
        .and_then(|answer| answer.version)
        .unwrap_or_default()
}

fn may_install(machine: &Machine) -> Result<(), Error> {
    if !machine.is_debian() {
        return Err(Error::CannotInstall {
            reason: format!(
                "this machine is not Debian (it calls itself `{}`)",
                machine.distribution
            ),
            advice: format!(
                "install Docker {OLDEST}.1 or newer as https://docs.docker.com/engine/install says"
            ),
        });
    }
    if !machine.is_root {
        return Err(Error::CannotInstall {
            reason: "only root may install one".to_owned(),
            advice: format!(
                "run `sudo apt-get install docker.io` (version {OLDEST}.1 or newer, so on Debian 12 from {RELEASE}) \
                 and `sudo usermod -aG docker $USER`, log in again"
            ),
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(distribution: &str, is_root: bool) -> Machine {
        Machine {
            is_root,
            distribution: distribution.to_owned(),
            has_systemd: false,
        }
    }

    #[test]
    fn only_root_on_debian_installs() {
        assert!(may_install(&machine("debian", true)).is_ok());
        let no_root = may_install(&machine("debian", false))
            .unwrap_err()
            .to_string();
        assert!(
            no_root.contains("sudo apt-get install docker.io"),
            "{no_root}"
        );
        let no_debian = may_install(&machine("fedora", true))
            .unwrap_err()
            .to_string();
        assert!(no_debian.contains("`fedora`"), "{no_debian}");
    }

    fn silence() -> engine::Error {
        engine::Error::Stopped {
            endpoint: ENDPOINT.to_owned(),
            source: "connection refused".into(),
        }
    }

    #[tokio::test]
    async fn an_engine_that_ends_is_not_waited_for() {
        let deadline = Deadline::after("engine", Duration::from_mins(1));
        let error = wait_for(
            deadline,
            async || Err(silence()),
            || Some("exit status: 1".to_owned()),
            || "\n    no graph driver".to_owned(),
        )
        .await
        .unwrap_err();
        assert!(matches!(error, Error::Ended { .. }), "{error}");
        assert!(deadline.elapsed() < Duration::from_secs(10));
    }

    #[tokio::test]
    async fn silence_ends_with_the_last_attempt_and_the_log() {
        let error = wait_for(
            Deadline::after("engine", Duration::ZERO),
            async || Err(silence()),
            || None,
            || "\n    waiting for containerd".to_owned(),
        )
        .await
        .unwrap_err();
        assert!(
            error.to_string().ends_with("waiting for containerd"),
            "{error}"
        );
        assert!(std::error::Error::source(&error).is_some());
    }
}
