//! Finding and making cached files.

use std::{
    fs,
    future::Future,
    os::unix::fs::PermissionsExt as _,
    path::PathBuf,
    time::{Duration, Instant},
};

use super::{
    Claim, Error, Key, Work,
    draft::{Draft, create_parent, remove},
    record::{Record, Verdict},
};
use crate::{deadline::Deadline, progress::Progress};

/// A directory of files that never change once they are there.
///
/// `files/` holds them with a record each, `partial/` what is being made, `locks/` who makes it and
/// `work/` what creators need meanwhile.
#[derive(Debug, Clone)]
pub(crate) struct Store {
    root: PathBuf,
    progress: Progress,
    patience: Duration,
}

/// The longest build takes some ten minutes on two slow cores; several may stand in line.
const PATIENCE: Duration = Duration::from_hours(1);

/// A file that has a successor and was not used for so long goes.
const FORGET: Duration = Duration::from_hours(336);

impl Store {
    /// The cache in this directory, which need not exist.
    pub(crate) fn new(root: impl Into<PathBuf>, progress: Progress) -> Self {
        Self {
            root: root.into(),
            progress,
            patience: PATIENCE,
        }
    }

    /// The same cache, with less time for other creators.
    #[cfg(test)]
    pub(super) fn with_patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// The file of this key if it is there and whole.
    ///
    /// # Errors
    /// The cache cannot be read.
    pub(crate) async fn find(&self, key: &Key) -> Result<Option<PathBuf>, Error> {
        match self.look(key).await? {
            Found::Whole(path) => Ok(Some(path)),
            Found::Nothing | Found::Corrupted => Ok(None),
        }
    }

    /// The file of this key, made by `make` if it is not there. `make` gets the path to write to.
    ///
    /// Only one process makes it; the others wait and then find it. What `make` leaves after a
    /// failure is removed.
    ///
    /// # Errors
    /// `make` failed, the cache cannot be written, or another creator never finished.
    pub(crate) async fn get_or_make<E, F>(
        &self,
        key: &Key,
        make: impl FnOnce(PathBuf) -> F + Send,
    ) -> Result<(PathBuf, bool), E>
    where
        E: From<Error>,
        F: Future<Output = Result<(), E>> + Send,
    {
        if let Some(path) = self.find(key).await? {
            return Ok((path, false));
        }
        let _claim = self.claim(&key.to_string(), key.name()).await?;
        // Somebody else may have made it while we waited.
        match self.look(key).await? {
            Found::Whole(path) => return Ok((path, false)),
            Found::Nothing => {}
            Found::Corrupted => {
                tracing::warn!(file = %key, "cached file is corrupted");
                self.progress
                    .note(&format!("{key} in the cache is corrupted; making it again"));
            }
        }
        let draft = Draft::new(self.partial(key))?;
        let started = Instant::now();
        make(draft.path.clone()).await?;
        let seconds = started.elapsed().as_secs();
        let (store, key) = (self.clone(), key.clone());
        let path = blocking(move || store.keep(&key, &draft, seconds)).await?;
        Ok((path, true))
    }

    /// Waits for the lock of this name.
    ///
    /// # Errors
    /// It is not given back in time.
    pub(crate) async fn claim(&self, lock: &str, what: &str) -> Result<Claim, Error> {
        let path = self.root.join("locks").join(format!("{lock}.lock"));
        let deadline = Deadline::after("another creator", self.patience);
        Claim::take(&path, what, &self.progress, deadline).await
    }

    /// An empty directory for a creator, removed when it is dropped and before it is used again.
    ///
    /// # Errors
    /// The directory cannot be made.
    pub(crate) fn work(&self, name: &str) -> Result<Work, Error> {
        let path = self.root.join("work").join(name);
        Work::new(path)
    }

    /// Makes sure that there is room for so many bytes before a long build starts.
    ///
    /// # Errors
    /// There is not.
    pub(crate) fn check_space(&self, needed: u64) -> Result<(), Error> {
        fs::create_dir_all(&self.root).map_err(Error::io("create", &self.root))?;
        let disk = rustix::fs::statvfs(&self.root)
            .map_err(|errno| Error::io("look at", &self.root)(errno.into()))?;
        let free = disk.f_bavail * disk.f_frsize;
        if free < needed {
            return Err(Error::LittleSpace {
                path: self.root.clone(),
                free_mb: free >> 20,
                needed_mb: needed >> 20,
            });
        }
        Ok(())
    }

    /// A directory that stays: what a compiler keeps between two builds.
    pub(crate) fn lasting(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// The record of a file that is there, unverified: for lists.
    pub(crate) fn record(&self, key: &Key) -> Option<Record> {
        let path = self.file(key);
        path.exists().then(|| Record::read(&path)).flatten()
    }

    async fn look(&self, key: &Key) -> Result<Found, Error> {
        let (store, key) = (self.clone(), key.clone());
        blocking(move || store.look_now(&key)).await
    }

    fn look_now(&self, key: &Key) -> Result<Found, Error> {
        let path = self.file(key);
        if !path.exists() {
            return Ok(Found::Nothing);
        }
        // A file without a record is of a creator that is, or was, between its two renames.
        let Some(record) = Record::read(&path) else {
            return Ok(Found::Nothing);
        };
        match record.judge(&path).map_err(Error::io("read", &path))? {
            Verdict::Untouched => {
                Record::note_use(&path);
                Ok(Found::Whole(path))
            }
            Verdict::Same(record) => {
                record.write(&path)?;
                Ok(Found::Whole(path))
            }
            Verdict::Corrupted => Ok(Found::Corrupted),
        }
    }

    /// Puts a finished draft in its place: synced, recorded, renamed.
    fn keep(&self, key: &Key, draft: &Draft, seconds: u64) -> Result<PathBuf, Error> {
        let made = &draft.path;
        let Ok(file) = fs::File::open(made) else {
            return Err(Error::NothingMade {
                what: key.name().to_owned(),
                path: made.clone(),
            });
        };
        // Nobody shall write to it by mistake; executable files stay so.
        let permissions = file
            .metadata()
            .map_err(Error::io("read", made))?
            .permissions()
            .mode();
        fs::set_permissions(made, fs::Permissions::from_mode(permissions & 0o555))
            .map_err(Error::io("protect", made))?;
        file.sync_all().map_err(Error::io("write", made))?;
        let path = self.file(key);
        create_parent(&path)?;
        remove(&Record::path(&path))?;
        fs::rename(made, &path).map_err(Error::io("put in place", &path))?;
        let record = Record::of(&path, seconds).map_err(Error::io("read", &path))?;
        record.write(&path)?;
        self.forget_predecessors(key);
        Ok(path)
    }

    /// Removes what this file replaces, once nobody has used it for long. Another checkout may need it.
    fn forget_predecessors(&self, key: &Key) {
        let Ok(entries) = fs::read_dir(self.root.join("files")) else {
            return;
        };
        for path in entries.filter_map(Result::ok).map(|entry| entry.path()) {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let is_old = Record::idle(&path).is_some_and(|idle| idle > FORGET);
            if is_old && key.replaces(&name) {
                tracing::info!(file = %path.display(), "removing an old file from the cache");
                if let Err(error) = remove(&Record::path(&path)).and_then(|()| remove(&path)) {
                    tracing::warn!(file = %path.display(), %error, "could not remove an old file");
                }
            }
        }
    }

    fn file(&self, key: &Key) -> PathBuf {
        self.root.join("files").join(key.to_string())
    }

    fn partial(&self, key: &Key) -> PathBuf {
        self.root.join("partial").join(key.to_string())
    }
}

/// What lies in the place of a file.
#[derive(Debug)]
enum Found {
    Whole(PathBuf),
    Corrupted,
    Nothing,
}

/// Hashing and syncing a hundred megabytes has no place on an async thread.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(error) => Err(Error::Io {
                step: "finish work on",
                path: PathBuf::new(),
                source: std::io::Error::other(error),
            }),
        },
    }
}
