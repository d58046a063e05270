//! What the cache promises, with real files, real processes and a real full device.

use std::{
    fs,
    io::Write as _,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant, SystemTime},
};

use super::{Error, Key, Store};
use crate::progress::Progress;

/// What a child process is told.
const ROOT: &str = "VCLUSTER_TEST_STORE_ROOT";

fn store(root: &Path) -> Store {
    Store::new(root, Progress::silent())
}

fn key() -> Key {
    Key::new("thing", ["1"])
}

/// Everything in a directory of the cache.
fn list(root: &Path, directory: &str) -> Vec<String> {
    let Ok(entries) = fs::read_dir(root.join(directory)) else {
        return Vec::new();
    };
    entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

async fn make(store: &Store, content: &str) -> Result<(PathBuf, bool), Error> {
    store
        .get_or_make(&key(), |output| async move {
            fs::write(&output, content).map_err(Error::io("write", &output))
        })
        .await
}

#[tokio::test]
async fn a_file_is_made_once() {
    let root = tempfile::tempdir().unwrap();
    let store = store(root.path());
    let (path, made) = make(&store, "one").await.unwrap();
    assert!(made);
    assert_eq!(make(&store, "two").await.unwrap(), (path.clone(), false));
    assert_eq!(fs::read_to_string(path).unwrap(), "one");
    assert!(list(root.path(), "partial").is_empty());
}

#[tokio::test]
async fn tasks_of_one_process_make_it_once() {
    let root = tempfile::tempdir().unwrap();
    let store = store(root.path());
    let count = AtomicUsize::new(0);
    let one = || async {
        store
            .get_or_make(&key(), |output| async {
                count.fetch_add(1, Ordering::Relaxed);
                tokio::time::sleep(Duration::from_millis(150)).await;
                fs::write(&output, "x").map_err(Error::io("write", output))
            })
            .await
    };
    let (a, b, c) = tokio::join!(one(), one(), one());
    let made: Vec<_> = [a, b, c]
        .into_iter()
        .map(|result| result.unwrap().1)
        .collect();
    assert_eq!(made.iter().filter(|made| **made).count(), 1);
    assert_eq!(count.into_inner(), 1);
}

/// Changes a cached file behind the cache's back.
fn tamper(path: &Path, content: &str) {
    let mut permissions = fs::metadata(path).unwrap().permissions();
    std::os::unix::fs::PermissionsExt::set_mode(&mut permissions, 0o644);
    fs::set_permissions(path, permissions).unwrap();
    fs::write(path, content).unwrap();
}

#[tokio::test]
async fn a_truncated_file_is_made_again() {
    let root = tempfile::tempdir().unwrap();
    let store = store(root.path());
    let (path, _) = make(&store, "content").await.unwrap();
    tamper(&path, "cont");
    assert_eq!(store.find(&key()).await.unwrap(), None);
    assert_eq!(make(&store, "content").await.unwrap(), (path.clone(), true));
    assert_eq!(fs::read_to_string(path).unwrap(), "content");
}

#[tokio::test]
async fn a_file_of_the_same_size_and_another_content_is_made_again() {
    let root = tempfile::tempdir().unwrap();
    let store = store(root.path());
    let (path, _) = make(&store, "content").await.unwrap();
    tamper(&path, "CONTENT");
    assert_eq!(make(&store, "content").await.unwrap(), (path.clone(), true));
    assert_eq!(fs::read_to_string(path).unwrap(), "content");
}

#[tokio::test]
async fn a_copied_cache_is_good_after_one_look() {
    let root = tempfile::tempdir().unwrap();
    let store = store(root.path());
    let (path, _) = make(&store, "content").await.unwrap();
    let copy = path.with_extension("copy");
    fs::copy(&path, &copy).unwrap();
    fs::rename(&copy, &path).unwrap();
    assert_eq!(make(&store, "other").await.unwrap(), (path, false));
}

#[tokio::test]
async fn a_file_without_a_record_is_made_again() {
    let root = tempfile::tempdir().unwrap();
    let store = store(root.path());
    let (path, _) = make(&store, "content").await.unwrap();
    let mut record = path.clone().into_os_string();
    record.push(".json");
    fs::remove_file(record).unwrap();
    assert!(make(&store, "content").await.unwrap().1);
}

#[tokio::test]
async fn what_nobody_used_for_long_goes_when_its_successor_comes() {
    let root = tempfile::tempdir().unwrap();
    let store = store(root.path());
    let (kept, old) = (Key::new("thing", ["kept"]), Key::new("thing", ["old"]));
    for key in [&kept, &old] {
        let made: Result<_, Error> = store
            .get_or_make(key, |output| async move {
                fs::write(&output, "x").map_err(Error::io("write", output))
            })
            .await;
        made.unwrap();
    }
    let record = root.path().join("files").join(format!("{old}.json"));
    let month_ago = SystemTime::now() - Duration::from_hours(720);
    let file = fs::File::options().write(true).open(record).unwrap();
    file.set_modified(month_ago).unwrap();
    make(&store, "new").await.unwrap();
    assert!(store.find(&kept).await.unwrap().is_some());
    assert!(store.find(&old).await.unwrap().is_none());
    assert_eq!(list(root.path(), "files").len(), 4);
}

#[tokio::test]
async fn a_failure_leaves_nothing_behind() {
    let root = tempfile::tempdir().unwrap();
    let store = store(root.path());
    let result = store
        .get_or_make(&key(), |output| async move {
            fs::write(&output, "half").unwrap();
            Err(Error::NothingMade {
                what: "it".to_owned(),
                path: output,
            })
        })
        .await;
    assert!(result.is_err());
    assert!(list(root.path(), "partial").is_empty());
    assert!(list(root.path(), "files").is_empty());
}

#[tokio::test]
async fn a_creator_that_makes_nothing_is_an_error() {
    let root = tempfile::tempdir().unwrap();
    let result: Result<_, Error> = store(root.path())
        .get_or_make(&key(), |_| async { Ok(()) })
        .await;
    assert!(
        matches!(result, Err(Error::NothingMade { .. })),
        "{result:?}"
    );
}

#[tokio::test]
async fn a_full_disk_says_so_and_leaves_nothing_behind() {
    let root = tempfile::tempdir().unwrap();
    let store = store(root.path());
    let result: Result<_, Error> = store
        .get_or_make(&key(), |output| async move {
            // This device is full at every write.
            symlink("/dev/full", &output).unwrap();
            let mut file = fs::File::create(&output).unwrap();
            file.write_all(b"content")
                .map_err(Error::io("write", &output))
        })
        .await;
    let error = result.unwrap_err();
    assert!(matches!(error, Error::DiskFull { .. }), "{error:?}");
    assert!(error.to_string().contains("VCLUSTER_TEST_CACHE"), "{error}");
    assert!(list(root.path(), "partial").is_empty());
    assert!(list(root.path(), "files").is_empty());
}

#[test]
fn too_little_space_is_told_before_the_work() {
    let root = tempfile::tempdir().unwrap();
    let store = store(root.path());
    store.check_space(1).unwrap();
    let error = store.check_space(u64::MAX).unwrap_err();
    assert!(error.to_string().contains("MB are needed"), "{error}");
}

#[tokio::test]
async fn a_creator_that_never_ends_is_named() {
    let root = tempfile::tempdir().unwrap();
    let store = store(root.path()).with_patience(Duration::from_millis(200));
    let _claim = store.claim("thing", "thing").await.unwrap();
    let error = store.claim("thing", "thing").await.unwrap_err();
    let own = std::process::id().to_string();
    assert!(error.to_string().contains(&own), "{error}");
}

/// A child that makes the file slowly. `made` is written by whoever does.
fn child(root: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "--nocapture"])
        .arg("asset::store::tests::slow_creator")
        .env(ROOT, root)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

#[tokio::test]
#[ignore = "is run by other tests, as a process of its own"]
async fn slow_creator() {
    let root = PathBuf::from(std::env::var_os(ROOT).unwrap());
    let store = Store::new(&root, Progress::lines());
    let made = root.join(format!("made-{}", std::process::id()));
    store
        .get_or_make(&key(), |output| async move {
            fs::write(&output, "half").unwrap();
            fs::write(&made, "").unwrap();
            tokio::time::sleep(Duration::from_millis(1800)).await;
            fs::write(&output, "whole").map_err(Error::io("write", output))
        })
        .await
        .unwrap();
}

fn makers(root: &Path) -> usize {
    let all = fs::read_dir(root).unwrap();
    all.filter(|entry| {
        let name = entry.as_ref().unwrap().file_name();
        name.to_string_lossy().starts_with("made-")
    })
    .count()
}

#[test]
fn of_two_processes_one_makes_it_and_the_other_says_that_it_waits() {
    let root = tempfile::tempdir().unwrap();
    let children = [child(root.path()), child(root.path())];
    let said: String = children
        .map(|child| child.wait_with_output().unwrap())
        .into_iter()
        .map(|output| {
            assert!(output.status.success());
            String::from_utf8(output.stderr).unwrap()
        })
        .collect();
    assert_eq!(makers(root.path()), 1);
    assert!(said.contains("waiting for thing, which process"), "{said}");
}

#[tokio::test]
async fn what_a_killed_process_leaves_is_replaced() {
    let root = tempfile::tempdir().unwrap();
    let mut child = child(root.path());
    let started = Instant::now();
    while makers(root.path()) == 0 {
        assert!(
            started.elapsed() < Duration::from_secs(20),
            "the child never began"
        );
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(list(root.path(), "partial").len(), 1);
    let (path, made) = make(&store(root.path()), "whole").await.unwrap();
    assert!(made);
    assert_eq!(fs::read_to_string(path).unwrap(), "whole");
    assert!(list(root.path(), "partial").is_empty());
}
