//! Files that processes lock. The kernel lets go of a lock when its holder ends, however it ends.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io,
    os::unix::fs::MetadataExt as _,
    path::Path,
};

/// Opens the file at `path`, with its directory when there is none, and leaves alone what it says.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory)?;
    }
    OpenOptions::new()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .open(path)
}

/// The lock on the file at `path`; `None` while anybody else has one.
pub(crate) fn alone(path: &Path) -> io::Result<Option<File>> {
    let file = open(path)?;
    Ok(try_alone(&file)?.then_some(file))
}

/// Takes the lock; false while anybody else has one.
pub(crate) fn try_alone(file: &File) -> io::Result<bool> {
    is_taken(file.try_lock())
}

/// Takes the lock together with others who share it; false while somebody has it alone.
pub(crate) fn try_shared(file: &File) -> io::Result<bool> {
    is_taken(file.try_lock_shared())
}

/// Is it still the file that others find there?
pub(crate) fn is_at(file: &File, path: &Path) -> bool {
    let both = (file.metadata(), fs::metadata(path));
    matches!(both, (Ok(one), Ok(other)) if (one.dev(), one.ino()) == (other.dev(), other.ino()))
}

fn is_taken(attempt: Result<(), TryLockError>) -> io::Result<bool> {
    match attempt {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_those_who_want_it_alone_one_gets_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("locks/one.lock");
        let held = alone(&path).unwrap();
        assert!(held.is_some() && alone(&path).unwrap().is_none());
        assert!(!try_shared(&open(&path).unwrap()).unwrap());
        drop(held);
        assert!(alone(&path).unwrap().is_some());
    }

    #[test]
    fn those_who_share_it_keep_it_from_who_wants_it_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("one.lock");
        let (first, second) = (open(&path).unwrap(), open(&path).unwrap());
        assert!(try_shared(&first).unwrap() && try_shared(&second).unwrap());
        drop(first);
        assert!(alone(&path).unwrap().is_none());
    }

    #[test]
    fn a_file_that_was_removed_is_not_where_it_was() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("one.lock");
        let file = open(&path).unwrap();
        assert!(is_at(&file, &path));
        fs::remove_file(&path).unwrap();
        assert!(!is_at(&file, &path));
        let other = open(&path).unwrap();
        assert!(!is_at(&file, &path) && is_at(&other, &path));
    }

    #[test]
    fn what_a_file_says_stays() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("one.lock");
        fs::write(&path, "who").unwrap();
        drop(open(&path).unwrap());
        assert_eq!(fs::read_to_string(&path).unwrap(), "who");
    }
}
