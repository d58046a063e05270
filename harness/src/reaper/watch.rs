//! The reaper process itself: waits until nobody holds the lease, cleans up, and is gone.

use std::{
    fs::File,
    io::{self, Write as _},
    os::unix::process::CommandExt as _,
    path::Path,
    process::Command,
    time::Duration,
};

use kube::config::Kubeconfig;
use tracing::{error, info};

use super::{
    delete::{self, DeleteError},
    log::{self, Log},
    order::Order,
    renew,
    spawn::{NAME, READY, VARIABLE, this_program},
};
use crate::{
    deadline::Deadline,
    host::{
        self,
        idle::{self, Idle, Uses},
    },
    pool,
};

/// Set in a reaper that holds no file of anybody else.
const ALONE: &str = "VCLUSTER_TEST_REAPER_ALONE";

/// A request that the dying process had sent may still be carried out for this long.
const IN_FLIGHT: Duration = Duration::from_secs(2);

/// How long a host may take to be told that it was used.
const ANSWER: Duration = Duration::from_secs(10);

/// Becomes the reaper and never returns, if this program was started for that; else does nothing.
///
/// Call it first of all, before any runtime, thread or subscriber is made.
pub fn run_if_asked() {
    let Some(directory) = std::env::var_os(VARIABLE) else {
        return;
    };
    let code = match watch(Path::new(&directory)) {
        Ok(()) => 0,
        Err(error) => {
            error!(%error, "the reaper cannot watch");
            1
        }
    };
    #[expect(
        clippy::exit,
        reason = "the rest of this program is a test that must not run a second time"
    )]
    std::process::exit(code);
}

fn watch(directory: &Path) -> io::Result<()> {
    // Out of the reach of signals to the test's process group and its terminal. Fails only for the
    // leader of a group, which a child of ours is not; then there is nothing to leave.
    if let Err(error) = rustix::process::setsid() {
        tracing::debug!(%error, "the reaper stays in its session");
    }
    std::env::set_current_dir("/")?;
    let_go_of_inherited_files()?;
    let (order, kubeconfig) = Order::read(directory)?;
    let lease = File::open(directory.join("lease"))?;
    let log = Log::start(directory, &order);
    renew::start(order.session.clone(), kubeconfig.clone());
    let using = order.idle.as_ref().and_then(|idle| hold(&order, idle));
    announce()?;
    lock(&lease)?;
    info!(
        session = order.session,
        host = order.host,
        "the test process is gone"
    );
    let outcome = clean_up(&order, &kubeconfig);
    if let Err(error) = &outcome {
        let chain = error_chain(error);
        error!(error = chain, "left for the next sweep");
    }
    log.finish();
    let removed = remove(directory);
    drop(lease);
    // Who could not clean up could not look after a pool either.
    let kept = match outcome {
        Ok(()) => keep_pool(&order, &kubeconfig),
        Err(_) => Ok(()),
    };
    if let Some(idle) = &order.idle {
        time_host(&order, idle, &kubeconfig, using);
    }
    removed.and(kept)
}

/// What waits for its next test may wait for some time. Nobody waits for this process any more.
#[tokio::main(flavor = "current_thread")]
async fn keep_pool(order: &Order, kubeconfig: &Kubeconfig) -> io::Result<()> {
    let cache = order.log.parent().unwrap_or(Path::new("/"));
    match host::client(kubeconfig, &order.host).await {
        Ok(host) => pool::keep_watch(&host, &order.host, cache).await,
        Err(error) => Err(io::Error::other(error)),
    }
}

/// Uses the host for as long as there may be something to clean up. Whoever started this uses it, so nobody
/// deletes it just now.
fn hold(order: &Order, idle: &Idle) -> Option<File> {
    Uses::of(&idle.cache, &order.host).hold().ok().flatten()
}

/// The last one out: waits until somebody uses the host again, or it is deleted.
#[tokio::main(flavor = "current_thread")]
async fn time_host(order: &Order, idle: &Idle, kubeconfig: &Kubeconfig, using: Option<File>) {
    let mark = async {
        if let Ok(host) = host::client(kubeconfig, &order.host).await {
            idle::mark_used(&host).await;
        }
    };
    // A host that does not answer says nothing of its use; the timer sees for itself.
    drop(tokio::time::timeout(ANSWER, mark).await);
    let line = idle::run(&order.host, idle, using).await;
    drop(log::append(&order.log, &line));
}

/// A runner may have left open what somebody reads to the end, such as a pipe of its own parent. The
/// kernel closes such files when a program is replaced, so this one is replaced by itself, once.
fn let_go_of_inherited_files() -> io::Result<()> {
    if std::env::var_os(ALONE).is_some() || close_fds::iter_open_fds(3).next().is_none() {
        return Ok(());
    }
    close_fds::set_fds_cloexec(3, &[]);
    let again = Command::new(this_program()?)
        .arg0(NAME)
        .args(std::env::args_os().skip(1))
        .env(ALONE, "1")
        .exec();
    Err(again)
}

/// Says that it watches, and from then on holds nothing that anybody may wait for.
fn announce() -> io::Result<()> {
    let null = File::options().read(true).write(true).open("/dev/null")?;
    let mut stdout = io::stdout();
    // Whoever started it may be dead already; the lease will tell.
    drop(writeln!(stdout, "{READY}").and_then(|()| stdout.flush()));
    rustix::stdio::dup2_stdin(&null)?;
    rustix::stdio::dup2_stderr(&null)?;
    // Last: the end of this pipe is what the test process waits for.
    rustix::stdio::dup2_stdout(&null)?;
    Ok(())
}

/// Sleeps until the kernel lets go of the lock, which it does when the holder ends.
fn lock(lease: &File) -> io::Result<()> {
    loop {
        match lease.lock() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn clean_up(order: &Order, kubeconfig: &Kubeconfig) -> Result<(), CleanUpError> {
    let deadline = Deadline::after("clean-up", order.limit);
    let steps = async {
        let host = host::client(kubeconfig, &order.host).await?;
        delete::session(&host, &order.session, IN_FLIGHT, deadline).await?;
        Ok(())
    };
    // A host that is paused takes connections and never answers.
    tokio::time::timeout(order.limit + IN_FLIGHT, steps)
        .await
        .unwrap_or(Err(CleanUpError::TooSlow { limit: order.limit }))
}

#[derive(Debug, thiserror::Error)]
enum CleanUpError {
    #[error("could not reach the host")]
    Reach(#[from] host::Error),
    #[error("could not remove what the session left")]
    Delete(#[from] DeleteError),
    #[error("the host did not answer within {} s", limit.as_secs())]
    TooSlow { limit: Duration },
}

/// Whoever sweeps may have been faster.
fn remove(directory: &Path) -> io::Result<()> {
    match std::fs::remove_dir_all(directory) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn error_chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        text.push_str(": ");
        text.push_str(&source.to_string());
        next = source.source();
    }
    text
}
