//! What creators write before it is finished: files and scratch directories that go by themselves.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::Error;

/// A file under way. Dropped without being kept, it goes.
#[derive(Debug)]
pub(super) struct Draft {
    /// Where it is written.
    pub(super) path: PathBuf,
}

impl Draft {
    /// Only the holder of the claim comes here, so what lies there is of a creator that was killed.
    pub(super) fn new(path: PathBuf) -> Result<Self, Error> {
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
    pub(super) fn new(path: PathBuf) -> Result<Self, Error> {
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

/// Makes the directory that a file lies in.
pub(super) fn create_parent(path: &Path) -> Result<(), Error> {
    match path.parent() {
        Some(parent) => fs::create_dir_all(parent).map_err(Error::io("create", parent)),
        None => Ok(()),
    }
}

/// Removes a file that may not be there.
pub(super) fn remove(path: &Path) -> Result<(), Error> {
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
