//! Lease files: `runs/<session>/lease` in the cache directory.

use std::{
    fs::{self, DirBuilder, File},
    io::{self, Write as _},
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
};

use crate::lock_file;

/// The directory of all leases of one user.
#[derive(Debug, Clone)]
pub struct Runs {
    directory: PathBuf,
}

/// A held lease. It is let go when this value is dropped or the process ends.
#[derive(Debug)]
#[must_use = "a lease that is dropped is let go"]
pub struct Lease {
    directory: PathBuf,
    _file: File,
}

/// What a lease file says about the process that made it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeaseState {
    /// Its process lives, or a reaper is cleaning up after it.
    Held,
    /// Its process is gone.
    Free,
    /// There is no such file here, or it cannot be asked.
    Missing,
}

/// A lease that could not be taken.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The directory of the run.
    #[error("could not make the directory {} for this run's lease", path.display())]
    Directory {
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file.
    #[error("could not write {}", path.display())]
    Write {
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The lock.
    #[error("could not lock {}; does its file system support locks?", path.display())]
    Lock {
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl Runs {
    /// The leases under this cache directory.
    pub fn new(cache: &Path) -> Self {
        Self {
            directory: cache.join("runs"),
        }
    }

    /// Where the files of a session are, if it has any.
    pub fn directory(&self, session: &str) -> PathBuf {
        self.directory.join(session)
    }

    /// Makes and takes the lease of a new session. `content` is for people who look at the file.
    ///
    /// # Errors
    /// The file system refuses.
    pub fn create(&self, session: &str, content: &str) -> Result<Lease, Error> {
        let _guard = self.guard()?;
        let directory = self.directory(session);
        make_private_directory(&directory)?;
        let path = directory.join("lease");
        let file = lease_file(&path)?;
        file.lock().map_err(|source| Error::Lock {
            path: path.clone(),
            source,
        })?;
        (&file)
            .write_all(content.as_bytes())
            .map_err(|source| Error::Write { path, source })?;
        Ok(Lease {
            directory,
            _file: file,
        })
    }

    /// Asks a session's lease, without disturbing who holds it.
    pub fn state(&self, session: &str) -> LeaseState {
        if session.is_empty() {
            return LeaseState::Missing;
        }
        let Ok(file) = File::open(self.directory(session).join("lease")) else {
            return LeaseState::Missing;
        };
        match lock_file::try_shared(&file) {
            Ok(true) => LeaseState::Free,
            Ok(false) => LeaseState::Held,
            Err(_) => LeaseState::Missing,
        }
    }

    /// Removes the directories of dead sessions; returns how many.
    ///
    /// # Errors
    /// The file system refuses.
    pub fn remove_dead(&self) -> Result<usize, Error> {
        let _guard = self.guard()?;
        let dead = self.list_dead()?;
        for path in &dead {
            fs::remove_dir_all(path).map_err(|source| Error::Write {
                path: path.clone(),
                source,
            })?;
        }
        Ok(dead.len())
    }

    /// The directories of dead sessions.
    ///
    /// # Errors
    /// The file system refuses.
    pub fn dead(&self) -> Result<Vec<PathBuf>, Error> {
        if !self.directory.exists() {
            return Ok(Vec::new());
        }
        let _guard = self.guard()?;
        self.list_dead()
    }

    /// For the holder of the guard.
    fn list_dead(&self) -> Result<Vec<PathBuf>, Error> {
        let entries = fs::read_dir(&self.directory).map_err(|source| Error::Directory {
            path: self.directory.clone(),
            source,
        })?;
        let mut dead = Vec::new();
        for entry in entries.flatten() {
            let path = entry.path();
            if !path.is_dir() {
                continue;
            }
            // Leases appear together with their directory, under the guard: one without is a ruin.
            let lease = File::open(path.join("lease"));
            if matches!(&lease, Ok(file) if file.try_lock().is_err()) {
                continue;
            }
            dead.push(path);
        }
        Ok(dead)
    }

    /// Keeps a lease that is being made from looking dead.
    fn guard(&self) -> Result<File, Error> {
        make_private_directory(&self.directory)?;
        let path = self.directory.join(".lock");
        let file = lease_file(&path)?;
        file.lock().map_err(|source| Error::Lock { path, source })?;
        Ok(file)
    }
}

impl Lease {
    /// The directory of this run. Only its user may read it.
    pub fn directory(&self) -> &Path {
        &self.directory
    }
}

fn make_private_directory(path: &Path) -> Result<(), Error> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|source| Error::Directory {
            path: path.to_owned(),
            source,
        })
}

fn lease_file(path: &Path) -> Result<File, Error> {
    lock_file::open(path).map_err(|source| Error::Write {
        path: path.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_is_held_until_it_is_dropped() {
        let cache = tempfile::tempdir().unwrap();
        let runs = Runs::new(cache.path());
        assert_eq!(runs.state("s1"), LeaseState::Missing);
        let lease = runs.create("s1", "pid 1\n").unwrap();
        assert_eq!(runs.state("s1"), LeaseState::Held);
        drop(lease);
        assert_eq!(runs.state("s1"), LeaseState::Free);
    }

    #[test]
    fn asking_twice_at_once_is_no_claim() {
        let cache = tempfile::tempdir().unwrap();
        let runs = Runs::new(cache.path());
        drop(runs.create("s1", "").unwrap());
        let asking = File::open(runs.directory("s1").join("lease")).unwrap();
        asking.lock_shared().unwrap();
        assert_eq!(runs.state("s1"), LeaseState::Free);
    }

    #[test]
    fn only_the_dead_are_removed() {
        let cache = tempfile::tempdir().unwrap();
        let runs = Runs::new(cache.path());
        let alive = runs.create("alive", "").unwrap();
        drop(runs.create("dead", "").unwrap());
        fs::create_dir(runs.directory("ruin")).unwrap();
        assert_eq!(runs.remove_dead().unwrap(), 2);
        assert!(alive.directory().exists());
        assert!(!runs.directory("dead").exists());
    }

    #[test]
    fn the_directory_is_for_its_user_alone() {
        use std::os::unix::fs::PermissionsExt as _;
        let cache = tempfile::tempdir().unwrap();
        let lease = Runs::new(cache.path()).create("s1", "").unwrap();
        let mode = fs::metadata(lease.directory())
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o700);
    }

    #[test]
    fn a_cache_that_cannot_be_written_is_named() {
        let cache = tempfile::tempdir().unwrap();
        let file = cache.path().join("file");
        fs::write(&file, "").unwrap();
        let error = Runs::new(&file).create("s1", "").unwrap_err();
        assert!(error.to_string().contains("file/runs"), "{error}");
    }
}
