//! What is left in the cache directory.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use super::{
    UNUSED, YOUNG,
    item::{Error, Item, Kind, Removal, alone},
    lock_of,
};
use crate::lease::Runs;

pub(super) fn survey(cache: &Path) -> Result<Vec<Item>, Error> {
    let mut items = runs(cache)?;
    items.extend(half_made(cache)?);
    items.extend(unused(cache)?);
    items.extend(locks(cache)?);
    Ok(items)
}

/// Directories of test processes that are gone, reapers included. All go together.
fn runs(cache: &Path) -> Result<Vec<Item>, Error> {
    let runs = Runs::new(cache);
    let dead = runs.dead()?;
    Ok(dead
        .into_iter()
        .map(|path| {
            let because = "its process and its reaper are gone";
            let removal = Removal::Runs(runs.clone());
            Item::new(Kind::Run, shown(&path), because, removal)
        })
        .collect())
}

/// Drafts and scratch directories whose creator holds no lock any more.
fn half_made(cache: &Path) -> Result<Vec<Item>, Error> {
    let mut items = Vec::new();
    for place in ["partial", "work"] {
        for (path, name) in entries(&cache.join(place))? {
            let lock = lock_of(cache, creator(&name));
            if lock.exists() && alone(&lock)?.is_none() {
                continue;
            }
            let removal = Removal::Files {
                paths: vec![path.clone()],
                lock,
            };
            let because = "whoever made it is gone";
            items.push(Item::new(Kind::HalfMade, shown(&path), because, removal));
        }
    }
    Ok(items)
}

/// The lock under which something is made: its own, or that of all builds of its kind.
fn creator(name: &str) -> &str {
    match name {
        "cargo-install" => "cargo-build",
        name if name.starts_with("go-") => "go-build",
        name => name,
    }
}

/// Whole files that nobody used for long. The time of a file's record is that of its last use.
fn unused(cache: &Path) -> Result<Vec<Item>, Error> {
    let mut items = Vec::new();
    for (record, name) in entries(&cache.join("files"))? {
        let Some(name) = name.strip_suffix(".json") else {
            continue;
        };
        let Some(age) = age(&record).filter(|age| *age > UNUSED) else {
            continue;
        };
        let path = cache.join("files").join(name);
        let removal = Removal::Files {
            // The record first: a file without one counts as not there.
            paths: vec![record, path.clone()],
            lock: lock_of(cache, name),
        };
        let because = format!("not used for {} days", days(age));
        items.push(Item::new(Kind::File, shown(&path), because, removal));
    }
    Ok(items)
}

/// Locks of things that are not there. Young ones may be about to be taken.
fn locks(cache: &Path) -> Result<Vec<Item>, Error> {
    let mut items = Vec::new();
    for (path, name) in entries(&cache.join("locks"))? {
        let Some(what) = name.strip_suffix(".lock") else {
            continue;
        };
        let is_of_file = what.rsplit_once('-').is_some_and(|(_, digest)| {
            digest.len() == 12 && digest.bytes().all(|byte| byte.is_ascii_hexdigit())
        });
        let is_old = age(&path).is_some_and(|age| age > YOUNG);
        if !is_of_file || !is_old || cache.join("files").join(what).exists() {
            continue;
        }
        if alone(&path)?.is_some() {
            let removal = Removal::Locks(vec![path.clone()]);
            let because = "what it is for is not there";
            items.push(Item::new(Kind::Lock, shown(&path), because, removal));
        }
    }
    Ok(items)
}

/// What lies in a directory that may not exist, by name.
pub(super) fn entries(directory: &Path) -> Result<Vec<(PathBuf, String)>, Error> {
    let failed = |source| Error::File {
        step: "read",
        path: directory.to_owned(),
        source,
    };
    let found = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        found => found.map_err(failed)?,
    };
    let mut entries = Vec::new();
    for entry in found {
        let path = entry.map_err(failed)?.path();
        let name = path.file_name().unwrap_or_default();
        entries.push((path.clone(), name.to_string_lossy().into_owned()));
    }
    entries.sort();
    Ok(entries)
}

pub(super) fn age(path: &Path) -> Option<Duration> {
    let modified = fs::metadata(path).ok()?.modified().ok()?;
    SystemTime::now().duration_since(modified).ok()
}

pub(super) fn days(age: Duration) -> u64 {
    age.as_secs() / (24 * 60 * 60)
}

pub(super) fn shown(path: &Path) -> String {
    path.display().to_string()
}

#[cfg(test)]
pub(super) mod tests {
    use std::fs::File;

    use super::*;

    /// A cache in which there is one of everything, in use and not.
    pub(in crate::prune) struct Cache(tempfile::TempDir);

    impl Cache {
        pub(in crate::prune) fn new() -> Self {
            Self(tempfile::tempdir().unwrap())
        }

        pub(in crate::prune) fn path(&self, name: &str) -> PathBuf {
            self.0.path().join(name)
        }

        pub(in crate::prune) fn add(&self, name: &str, age: Duration) -> File {
            let path = self.path(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            let file = File::create(&path).unwrap();
            file.set_modified(SystemTime::now() - age).unwrap();
            file
        }

        fn found(&self) -> Vec<(Kind, String)> {
            let mut found: Vec<_> = survey(self.0.path())
                .unwrap()
                .into_iter()
                .map(|item| {
                    let path = Path::new(&item.name).strip_prefix(self.0.path()).unwrap();
                    (item.kind, shown(path))
                })
                .collect();
            found.sort();
            found
        }
    }

    pub(in crate::prune) const NOW: Duration = Duration::ZERO;
    pub(in crate::prune) const LONG: Duration = Duration::from_hours(400);

    #[tokio::test]
    async fn what_nobody_holds_or_uses_is_found_and_removed() {
        let cache = Cache::new();
        cache.add("files/etcd-0123456789ab", LONG);
        cache.add("files/etcd-0123456789ab.json", LONG);
        cache.add("files/etcd-ba9876543210", LONG);
        cache.add("files/etcd-ba9876543210.json", NOW);
        cache.add("partial/kine-0123456789ab", NOW);
        cache.add("work/go-kine-0123456789ab/src/main.go", NOW);
        cache.add("locks/kine-0123456789ab.lock", LONG);
        cache.add("locks/node-0123456789ab.lock", NOW);
        cache.add("locks/go-build.lock", LONG);
        cache.add("runs/dead/lease", NOW);
        let expected = [
            (Kind::File, "files/etcd-0123456789ab"),
            (Kind::HalfMade, "partial/kine-0123456789ab"),
            (Kind::HalfMade, "work/go-kine-0123456789ab"),
            (Kind::Lock, "locks/kine-0123456789ab.lock"),
            (Kind::Run, "runs/dead"),
        ];
        assert_eq!(
            cache.found(),
            expected.map(|(kind, name)| (kind, name.to_owned()))
        );
        for item in survey(cache.0.path()).unwrap() {
            assert!(item.remove().await.unwrap(), "{item:?}");
        }
        assert_eq!(cache.found(), []);
        assert!(cache.path("files/etcd-ba9876543210").exists());
    }

    #[tokio::test]
    async fn what_somebody_holds_is_in_use() {
        let cache = Cache::new();
        cache.add("work/go-kine", NOW);
        cache.add("partial/kine-0123456789ab", NOW);
        cache.add("runs/alive/lease", NOW).lock().unwrap();
        let builds = cache.add("locks/go-build.lock", LONG);
        let lock = cache.add("locks/kine-0123456789ab.lock", LONG);
        let lease = File::open(cache.path("runs/alive/lease")).unwrap();
        for held in [&builds, &lock, &lease] {
            held.lock().unwrap();
        }
        assert_eq!(cache.found(), []);
        // What is found and then taken stays.
        drop(lock);
        let items = survey(cache.0.path()).unwrap();
        let _lock = alone(&cache.path("locks/kine-0123456789ab.lock")).unwrap();
        for item in items {
            assert!(!item.remove().await.unwrap(), "{item:?}");
        }
        assert!(cache.path("partial/kine-0123456789ab").exists());
    }

    #[test]
    fn a_cache_that_is_not_there_has_nothing() {
        let cache = Cache::new();
        assert!(survey(&cache.path("none")).unwrap().is_empty());
    }
}
