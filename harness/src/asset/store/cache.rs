//! Finding and making cached files.

use std::{
    fs,
    future::Future,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use super::{
    Claim, Error, Key,
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
const PATIENCE: Duration = Duration::from_secs(60 * 60);

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
        let path = blocking(move || store.keep(&key, draft, seconds)).await?;
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

    /// A directory that stays: what a compiler keeps between two builds.
    pub(crate) fn lasting(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// The record of a file that is there, unverified: for lists.
    pub(crate) fn record(&self, key: &Key) -> Option<Record> {
        let path = self.file(key);
        path.exists()
            .then(|| read_record(&record_path(&path)))
            .flatten()
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
        let Some(record) = read_record(&record_path(&path)) else {
            return Ok(Found::Nothing);
        };
        match record.judge(&path).map_err(Error::io("read", &path))? {
            Verdict::Untouched => Ok(Found::Whole(path)),
            Verdict::Same(record) => {
                write_record(&path, &record)?;
                Ok(Found::Whole(path))
            }
            Verdict::Corrupted => Ok(Found::Corrupted),
        }
    }

    /// Puts a finished draft in its place: synced, recorded, renamed.
    fn keep(&self, key: &Key, draft: Draft, seconds: u64) -> Result<PathBuf, Error> {
        let made = &draft.path;
        let file = match fs::File::open(made) {
            Ok(file) => file,
            Err(_) => {
                return Err(Error::NothingMade {
                    what: key.name().to_owned(),
                    path: made.clone(),
                });
            }
        };
        // Nobody shall write to it by mistake; executable files stay so.
        let mode = file
            .metadata()
            .map_err(Error::io("read", made))?
            .permissions()
            .mode();
        fs::set_permissions(made, fs::Permissions::from_mode(mode & 0o555))
            .map_err(Error::io("protect", made))?;
        file.sync_all().map_err(Error::io("write", made))?;
        let path = self.file(key);
        create_parent(&path)?;
        remove(&record_path(&path))?;
        fs::rename(made, &path).map_err(Error::io("put in place", &path))?;
        let record = Record::of(&path, seconds).map_err(Error::io("read", &path))?;
        write_record(&path, &record)?;
        Ok(path)
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

/// A file under way. Dropped without being kept, it goes.
#[derive(Debug)]
struct Draft {
    path: PathBuf,
}

impl Draft {
    /// Only the holder of the claim comes here, so what lies there is of a creator that was killed.
    fn new(path: PathBuf) -> Result<Self, Error> {
        create_parent(&path)?;
        remove(&path)?;
        Ok(Self { path })
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if let Err(error) = remove(&self.path) {
            tracing::warn!(file = %self.path.display(), %error, "could not remove a half-made file");
        }
    }
}

/// A scratch directory of one creator.
#[derive(Debug)]
pub(crate) struct Work {
    path: PathBuf,
}

impl Work {
    fn new(path: PathBuf) -> Result<Self, Error> {
        remove_directory(&path)?;
        fs::create_dir_all(&path).map_err(Error::io("create", &path))?;
        Ok(Self { path })
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        if let Err(error) = remove_directory(&self.path) {
            tracing::warn!(directory = %self.path.display(), %error, "could not remove a scratch directory");
        }
    }
}

fn record_path(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".json");
    name.into()
}

/// An unreadable record is as good as none.
fn read_record(path: &Path) -> Option<Record> {
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

fn write_record(file: &Path, record: &Record) -> Result<(), Error> {
    let path = record_path(file);
    let text = serde_json::to_vec_pretty(record).expect("a record is plain data");
    let error = || Error::io("write", &path);
    let directory = path.parent().unwrap_or(Path::new("."));
    let mut draft = tempfile::NamedTempFile::new_in(directory).map_err(error())?;
    std::io::Write::write_all(&mut draft, &text).map_err(error())?;
    draft.as_file().sync_all().map_err(error())?;
    draft
        .persist(&path)
        .map_err(|failed| error()(failed.error))?;
    Ok(())
}

fn create_parent(path: &Path) -> Result<(), Error> {
    match path.parent() {
        Some(parent) => fs::create_dir_all(parent).map_err(Error::io("create", parent)),
        None => Ok(()),
    }
}

fn remove(path: &Path) -> Result<(), Error> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::io("remove", path)(error))
        }
        _ => Ok(()),
    }
}

fn remove_directory(path: &Path) -> Result<(), Error> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::io("remove", path)(error))
        }
        _ => Ok(()),
    }
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
