//! Real processes, killed for good, against a host that only pretends.

use std::{
    io::{BufRead as _, BufReader, Read as _},
    os::unix::process::{CommandExt as _, ExitStatusExt as _},
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Stdio},
    time::Duration,
};

use kube::Client;
use rustix::process::{Pid, Signal};

use super::{
    Reaper, Restart, SpawnError,
    fake_host::{self, FakeHost},
    run_if_asked,
};
use crate::{
    deadline::Deadline,
    lease::{HostAccess, Session, SessionError},
    owner::{Presence, presence},
    settings::{Keep, Settings},
};

const LIMIT: Duration = Duration::from_secs(30);

/// What [`victim`] is told.
const CACHE: &str = "VICTIM_CACHE";
const HOST: &str = "VICTIM_HOST";
const STOP_TIMEOUT: &str = "VICTIM_STOP_TIMEOUT";

/// A test process as the attribute would make it: it asks first whether it is the reaper, then begins
/// its session, and waits to be killed or for the end of its input.
#[test]
#[ignore = "started by other tests"]
fn victim() {
    run_if_asked();
    let (Ok(cache), Ok(url)) = (std::env::var(CACHE), std::env::var(HOST)) else {
        return;
    };
    let limit = std::env::var(STOP_TIMEOUT).unwrap();
    let settings = Settings::from_environment(&[
        ("VCLUSTER_TEST_CACHE", cache.as_str()),
        ("VCLUSTER_TEST_STOP_TIMEOUT", limit.as_str()),
        // The host is none of the engine's.
        ("VCLUSTER_TEST_HOST_IDLE", "never"),
    ])
    .unwrap();
    let session = begin(&settings, &url, &Restart::Test(this_module("victim"))).unwrap();
    let reaper = session.reaper().unwrap().pid();
    println!("\nvictim: {} {reaper}", session.id());
    std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
}

/// A started [`victim`].
struct Victim {
    child: Child,
    stdout: BufReader<ChildStdout>,
    session: String,
    reaper: u32,
    run: PathBuf,
}

impl Victim {
    fn start(cache: &Path, host: &FakeHost) -> Self {
        Self::start_with(cache, host, "30s")
    }

    /// `limit` is how long its reaper tries.
    fn start_with(cache: &Path, host: &FakeHost, limit: &str) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([
                &this_module("victim"),
                "--exact",
                "--ignored",
                "--nocapture",
            ])
            .env(CACHE, cache)
            .env(HOST, host.url())
            .env(STOP_TIMEOUT, limit)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .process_group(0)
            .spawn()
            .unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        while !line.starts_with("victim: ") {
            line.clear();
            let read = stdout.read_line(&mut line).unwrap();
            assert_ne!(read, 0, "the victim ended early: {:?}", child.wait());
        }
        let words: Vec<_> = line.split_whitespace().collect();
        Self {
            session: words[1].to_owned(),
            reaper: words[2].parse().unwrap(),
            run: cache.join("runs").join(words[1]),
            stdout,
            child,
        }
    }

    fn kill_group(&mut self) {
        let group = Pid::from_child(&self.child);
        rustix::process::kill_process_group(group, Signal::KILL).unwrap();
        assert_eq!(self.child.wait().unwrap().signal(), Some(9));
    }

    fn wait_until_cleaned_up(&self) {
        until("the reaper is gone", || {
            presence(self.reaper) == Presence::Nobody
        });
        assert!(!self.run.exists(), "the run's directory is still there");
    }
}

fn this_module(test: &str) -> String {
    // Without the crate's name, as libtest counts.
    let (_, module) = module_path!().split_once("::").unwrap();
    format!("{module}::{test}")
}

fn settings(cache: &str, reaper: &str) -> Settings {
    Settings::from_environment(&[
        ("VCLUSTER_TEST_CACHE", cache),
        ("VCLUSTER_TEST_REAPER", reaper),
        ("VCLUSTER_TEST_HOST_IDLE", "never"),
    ])
    .unwrap()
}

#[tokio::main(flavor = "current_thread")]
async fn begin(
    settings: &Settings,
    url: &str,
    restart: &Restart,
) -> Result<std::sync::Arc<Session>, SessionError> {
    let access = HostAccess {
        name: url,
        kubeconfig: &fake_host::kubeconfig(url),
        client: &fake_host::client(url).await,
    };
    Session::for_process(settings, access, restart).await
}

#[track_caller]
fn until(what: &'static str, mut is_so: impl FnMut() -> bool) {
    let deadline = Deadline::after(what, LIMIT);
    while !is_so() {
        assert!(!deadline.is_over(), "{what}: not within {LIMIT:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn sweep(reaper: &Reaper, host: &FakeHost) -> Vec<String> {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let client: Client = fake_host::client(&host.url()).await;
        let removed = reaper.sweep(&client).await.unwrap();
        removed.into_iter().map(|found| found.namespace).collect()
    })
}

#[test]
fn what_a_killed_process_group_leaves_is_removed() {
    let (cache, host) = (tempfile::tempdir().unwrap(), FakeHost::start());
    let mut victim = Victim::start(cache.path(), &host);
    host.add_of_session("vc-1", &victim.session);
    host.add_of_session("vc-2", &victim.session);
    host.add_of_session("vc-foreign", "another");
    victim.kill_group();
    victim.wait_until_cleaned_up();
    assert_eq!(host.namespaces(), ["vc-foreign"]);
    let log = std::fs::read_to_string(cache.path().join("reaper.log")).unwrap();
    assert!(log.contains("vc-1 vc-2"), "{log}");
}

#[test]
fn of_two_sessions_the_living_one_is_left_alone() {
    let (cache, host) = (tempfile::tempdir().unwrap(), FakeHost::start());
    let mut first = Victim::start(cache.path(), &host);
    let mut second = Victim::start(cache.path(), &host);
    assert_ne!(first.session, second.session);
    host.add_of_session("vc-1", &first.session);
    host.add_of_session("vc-2", &second.session);
    first.kill_group();
    first.wait_until_cleaned_up();
    assert_eq!(host.namespaces(), ["vc-2"]);
    second.kill_group();
    second.wait_until_cleaned_up();
    assert!(host.namespaces().is_empty());
}

#[test]
fn a_process_that_ends_by_itself_leaves_no_reaper() {
    let (cache, host) = (tempfile::tempdir().unwrap(), FakeHost::start());
    let mut victim = Victim::start(cache.path(), &host);
    drop(victim.child.stdin.take());
    assert!(victim.child.wait().unwrap().success());
    victim.wait_until_cleaned_up();
}

#[test]
fn a_reaper_whose_host_is_gone_ends() {
    let (cache, host) = (tempfile::tempdir().unwrap(), FakeHost::start());
    let mut victim = Victim::start_with(cache.path(), &host, "500ms");
    drop(host);
    victim.kill_group();
    victim.wait_until_cleaned_up();
}

#[test]
fn a_reaper_whose_host_is_paused_ends() {
    let (cache, host) = (tempfile::tempdir().unwrap(), FakeHost::start());
    let mut victim = Victim::start_with(cache.path(), &host, "500ms");
    host.add_of_session("vc-1", &victim.session);
    host.stall(true);
    victim.kill_group();
    victim.wait_until_cleaned_up();
    let log = std::fs::read_to_string(cache.path().join("reaper.log")).unwrap();
    assert!(log.contains("did not answer"), "{log}");
}

#[cfg(target_os = "linux")]
#[test]
fn a_reaper_holds_nothing_that_anybody_waits_for() {
    let (cache, host) = (tempfile::tempdir().unwrap(), FakeHost::start());
    let mut victim = Victim::start(cache.path(), &host);
    let reaper = Pid::from_raw(victim.reaper.try_into().unwrap());
    assert_eq!(rustix::process::getsid(reaper).unwrap(), reaper.unwrap());
    let open: Vec<_> = std::fs::read_dir(format!("/proc/{}/fd", victim.reaper))
        .unwrap()
        .filter_map(|entry| std::fs::read_link(entry.unwrap().path()).ok())
        .collect();
    let pipes = open
        .iter()
        .filter(|path| path.to_string_lossy().starts_with("pipe:"));
    assert_eq!(pipes.count(), 0, "{open:?}");
    for standard in 0..3 {
        let link = format!("/proc/{}/fd/{standard}", victim.reaper);
        assert_eq!(std::fs::read_link(link).unwrap(), Path::new("/dev/null"));
    }

    // A runner that reads to the end gets there although the reaper has not finished.
    host.stall(true);
    victim.kill_group();
    victim.stdout.read_to_end(&mut Vec::new()).unwrap();
    assert_ne!(presence(victim.reaper), Presence::Nobody);
    host.stall(false);
    victim.wait_until_cleaned_up();
}

#[test]
fn a_program_that_does_not_become_a_reaper_is_an_error() {
    let (cache, host) = (tempfile::tempdir().unwrap(), FakeHost::start());
    let settings = settings(cache.path().to_str().unwrap(), "1");
    let restart = Restart::Test("no::such::test".to_owned());
    let error = begin(&settings, &host.url(), &restart).unwrap_err();
    assert!(
        matches!(error, SessionError::Reaper(SpawnError::Ended { .. })),
        "{error:?}"
    );
}

#[test]
fn a_sweep_takes_what_the_dead_left_and_spares_the_living() {
    let (cache, host) = (tempfile::tempdir().unwrap(), FakeHost::start());
    let settings = settings(cache.path().to_str().unwrap(), "0");
    let restart = Restart::Test("never used".to_owned());
    let session = begin(&settings, &host.url(), &restart).unwrap();
    assert!(session.reaper().is_none());

    let mine = session.owner("t", Keep::Never);
    let mut dead = mine.clone();
    "dead".clone_into(&mut dead.session);
    dead.process.as_mut().unwrap().start_time += 1;
    let mut elsewhere = dead.clone();
    "elsewhere".clone_into(&mut elsewhere.place.machine);
    // Its process id and start may well be those of a process of today.
    let mut rebooted = mine.clone();
    "rebooted".clone_into(&mut rebooted.session);
    "an earlier one".clone_into(&mut rebooted.place.boot_id);
    let kept = dead.clone().kept_until(session.kept_until());
    let mut expired = elsewhere.clone();
    expired.expires_at = Some("2020-01-01T00:00:00Z".parse().unwrap());
    for (name, owner) in [
        ("vc-mine", &mine),
        ("vc-dead", &dead),
        ("vc-rebooted", &rebooted),
        ("vc-elsewhere", &elsewhere),
        ("vc-expired", &expired),
        ("vc-kept", &kept),
    ] {
        host.add(namespace(name, owner));
    }
    host.add_of_session("vc-unreadable", "no owner");

    let reaper = Reaper::new(&settings);
    assert_eq!(
        sweep(&reaper, &host),
        ["vc-dead", "vc-expired", "vc-rebooted"]
    );
    assert_eq!(sweep(&reaper, &host), [""; 0]);
    assert_eq!(
        host.namespaces(),
        ["vc-elsewhere", "vc-kept", "vc-mine", "vc-unreadable"]
    );
}

#[test]
fn a_wrong_clock_of_ours_expires_nothing() {
    // For the host it is 2020; what expires in an hour of its time would be long gone by our clock.
    let clock = "2020-01-01T00:00:00Z".parse().unwrap();
    let (cache, host) = (
        tempfile::tempdir().unwrap(),
        FakeHost::start_at(Some(clock)),
    );
    let settings = settings(cache.path().to_str().unwrap(), "0");
    let restart = Restart::Test("never used".to_owned());
    let session = begin(&settings, &host.url(), &restart).unwrap();
    let kept = session.owner("t", Keep::Always);
    assert!(kept.expires_at.unwrap() < "2020-01-02T00:00:00Z".parse().unwrap());
    host.add(namespace("vc-kept", &kept));
    assert_eq!(sweep(&Reaper::new(&settings), &host), [""; 0]);
}

fn namespace(name: &str, owner: &crate::owner::Owner) -> k8s_openapi::api::core::v1::Namespace {
    use k8s_openapi::{api::core::v1::Namespace, apimachinery::pkg::apis::meta::v1::ObjectMeta};
    Namespace {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            labels: Some(owner.labels()),
            annotations: Some(owner.annotations()),
            ..ObjectMeta::default()
        },
        ..Namespace::default()
    }
}

#[test]
fn what_is_kept_is_safe_from_the_reaper_and_what_runs_is_put_off() {
    let (cache, host) = (tempfile::tempdir().unwrap(), FakeHost::start());
    let settings = settings(cache.path().to_str().unwrap(), "0");
    let restart = Restart::Test("never used".to_owned());
    let session = begin(&settings, &host.url(), &restart).unwrap();
    let mut owner = session.owner("t", Keep::OnFailure);
    owner.expires_at = Some("2020-01-01T00:00:00Z".parse().unwrap());
    host.add(namespace("vc-failed", &owner));
    host.add(namespace("vc-runs", &owner));
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let client = fake_host::client(&host.url()).await;
        let until = session.kept_until();
        crate::owner::keep(&client, "vc-failed", until)
            .await
            .unwrap();
        super::renew::renew(&client, session.id()).await;
    });
    let failed = host.owner("vc-failed");
    assert_eq!((failed.process, failed.test.as_deref()), (None, Some("t")));
    assert!(host.owner("vc-runs").expires_at.unwrap() > jiff::Timestamp::now());
    assert_eq!(host.of_session(session.id()), ["vc-runs"]);
}

#[test]
fn an_owner_that_changed_in_between_is_not_overwritten() {
    let host = FakeHost::start();
    let owner = crate::owner::Owner::standing();
    host.add(namespace("vc-1", &owner));
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let client = fake_host::client(&host.url()).await;
        let old = kube::Api::all(client.clone()).get("vc-1").await.unwrap();
        let until = jiff::Timestamp::now();
        crate::owner::keep(&client, "vc-1", until).await.unwrap();
        let error = crate::owner::change(&client, &old, |owner| owner)
            .await
            .unwrap_err();
        assert!(format!("{error:?}").contains("Conflict"), "{error:?}");
    });
}
