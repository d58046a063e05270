//! A signal that ends the process first deletes its clusters; a second one ends it at once.

use std::{
    io::{self, Write as _},
    sync::OnceLock,
    time::{Duration, Instant},
};

use futures::future::join_all;
use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGTERM},
    iterator::Signals,
    low_level,
};

use crate::{
    cluster, host,
    live::{self, Live},
};

/// nextest gives 10 s between SIGTERM and SIGKILL; the reaper does what is not done by then.
const LIMIT: Duration = Duration::from_secs(8);

/// Handles the signals that end a process, once per process. The test harness keeps its `main`, and
/// tests their runtimes: this has a thread of its own.
///
/// # Errors
/// The operating system refuses the handler or the thread.
pub fn install() -> io::Result<()> {
    static INSTALLED: OnceLock<Result<(), io::ErrorKind>> = OnceLock::new();
    INSTALLED
        .get_or_init(|| start().map_err(|error| error.kind()))
        .map_err(io::Error::from)
}

fn start() -> io::Result<()> {
    let ignored = ignored_signals();
    // `nohup` and shells in the background ignore signals for their children; that stays so.
    let wanted = [SIGINT, SIGTERM, SIGHUP]
        .into_iter()
        .filter(|signal| ignored & (1 << (signal - 1)) == 0);
    let signals = Signals::new(wanted)?;
    std::thread::Builder::new()
        .name("vcluster-signals".to_owned())
        .spawn(move || listen(signals))?;
    Ok(())
}

fn listen(mut signals: Signals) {
    let mut seen = false;
    for signal in signals.forever() {
        if seen || live::all().is_empty() {
            end(signal);
        }
        seen = true;
        let cleaner = std::thread::Builder::new()
            .name("vcluster-clean-up".to_owned())
            .spawn(move || {
                clean_up(signal);
                end(signal);
            });
        if cleaner.is_err() {
            end(signal);
        }
    }
}

/// Ends the process as the signal would have, so that whoever waits for it sees the signal.
fn end(signal: i32) -> ! {
    drop(low_level::emulate_default_handler(signal));
    low_level::abort()
}

fn clean_up(signal: i32) {
    let name = low_level::signal_name(signal).unwrap_or("signal");
    let clusters = live::all();
    say(&format!(
        "{name}: deleting {} (once more to end at once)",
        count(clusters.len())
    ));
    let started = Instant::now();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let left = match runtime {
        Ok(runtime) => runtime.block_on(delete_all(clusters)),
        Err(error) => vec![error.to_string()],
    };
    if left.is_empty() {
        say(&format!(
            "{name}: deleted in {:.1} s",
            started.elapsed().as_secs_f64()
        ));
    } else {
        say(&format!("{name}: left to the reaper: {}", left.join("; ")));
    }
}

/// Returns what could not be deleted, and why.
async fn delete_all(clusters: Vec<Live>) -> Vec<String> {
    let deletions = clusters.into_iter().map(async |cluster| {
        match tokio::time::timeout(LIMIT, delete(&cluster)).await {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(format!("{}: {error}", cluster.name)),
            Err(_) => Some(format!(
                "{}: no answer in {} s",
                cluster.name,
                LIMIT.as_secs()
            )),
        }
    });
    join_all(deletions).await.into_iter().flatten().collect()
}

async fn delete(live: &Live) -> Result<(), Box<dyn std::error::Error>> {
    let host = host::client(&live.host, "of the cluster").await?;
    Ok(cluster::delete(&host, &live.namespace).await?)
}

fn count(number: usize) -> String {
    match number {
        1 => "1 cluster".to_owned(),
        number => format!("{number} clusters"),
    }
}

/// Standard error may be closed; that is no reason not to clean up.
fn say(line: &str) {
    drop(writeln!(io::stderr(), "vcluster-test: {line}"));
}

/// The signals that this process was started to ignore, as the kernel's bit mask.
fn ignored_signals() -> u64 {
    std::fs::read_to_string("/proc/self/status")
        .ok()
        .and_then(|status| {
            let mask = status
                .lines()
                .find_map(|line| line.strip_prefix("SigIgn:"))?;
            u64::from_str_radix(mask.trim(), 16).ok()
        })
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::{
        io::{BufRead as _, BufReader, Read as _},
        os::unix::process::ExitStatusExt as _,
        process::{Child, ChildStderr, ChildStdin, Command, Stdio},
        sync::Arc,
    };

    use rstest::rstest;
    use rustix::process::{Pid, Signal, kill_process};

    use super::*;
    use crate::{
        live::register,
        reaper::fake_host::{FakeHost, kubeconfig},
    };

    const HOST: &str = "SIGNALLED_HOST";

    /// A process with two clusters and one that is gone already.
    #[test]
    #[ignore = "started by other tests"]
    fn signalled() {
        let Ok(url) = std::env::var(HOST) else { return };
        let host = Arc::new(kubeconfig(&url));
        for name in ["vc-1", "vc-2", "vc-gone"] {
            drop(register(Live {
                name: name.to_owned(),
                namespace: name.to_owned(),
                host: Arc::clone(&host),
            }));
        }
        install().unwrap();
        install().unwrap();
        eprintln!("ready");
        std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
    }

    /// The process lives as long as its input is open; waiting for it would close that.
    fn start(host: &FakeHost) -> (Child, ChildStdin, BufReader<ChildStderr>) {
        host.add_of_session("vc-1", "s");
        host.add_of_session("vc-2", "s");
        host.add_of_session("vc-foreign", "other");
        // Whoever runs the tests may ignore a signal (`nohup` does), and a child would inherit that.
        let mut child = Command::new("env")
            .arg("--default-signal=HUP,INT,TERM")
            .arg(std::env::current_exe().unwrap())
            .args([
                "signal::tests::signalled",
                "--exact",
                "--ignored",
                "--nocapture",
            ])
            .env(HOST, host.url())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        wait_for(&mut stderr, "ready");
        let stdin = child.stdin.take().unwrap();
        (child, stdin, stderr)
    }

    #[track_caller]
    fn wait_for(stderr: &mut BufReader<ChildStderr>, text: &str) {
        let mut line = String::new();
        while !line.contains(text) {
            line.clear();
            assert_ne!(stderr.read_line(&mut line).unwrap(), 0, "no `{text}`");
        }
    }

    #[rstest]
    #[case::interrupt(Signal::INT)]
    #[case::terminate(Signal::TERM)]
    #[case::hang_up(Signal::HUP)]
    fn the_first_signal_deletes_and_ends(#[case] signal: Signal) {
        let host = FakeHost::start();
        let (mut child, _stdin, mut stderr) = start(&host);
        kill_process(Pid::from_child(&child), signal).unwrap();
        wait_for(&mut stderr, "deleting 3 clusters");
        wait_for(&mut stderr, "deleted in");
        assert_eq!(child.wait().unwrap().signal(), Some(signal.as_raw()));
        assert_eq!(host.namespaces(), ["vc-foreign"]);
    }

    #[test]
    fn the_second_signal_ends_at_once() {
        let host = FakeHost::start();
        let (mut child, _stdin, mut stderr) = start(&host);
        host.stall(true);
        kill_process(Pid::from_child(&child), Signal::INT).unwrap();
        wait_for(&mut stderr, "deleting 3 clusters");
        let started = Instant::now();
        kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
        let status = child.wait().unwrap();
        assert_eq!(status.signal(), Some(Signal::TERM.as_raw()));
        assert!(started.elapsed() < LIMIT, "{:?}", started.elapsed());
    }
}
