//! One process at a time does a thing. The kernel releases the lock when its holder dies.

use std::{
    fs::File,
    io::{Read as _, Seek as _, SeekFrom, Write as _},
    path::Path,
    time::Duration,
};

use rustix::fs::{FlockOperation, flock};

use super::Error;
use crate::{deadline::Deadline, lock_file, progress::Step};

/// How often a lock held by somebody else is tried again: `flock` cannot be awaited, and a thread that
/// blocks in it could not be cancelled.
const RETRY: Duration = Duration::from_millis(50);

/// A lock that is held until this is dropped.
#[derive(Debug)]
#[must_use = "the lock is released when this is dropped"]
pub(crate) struct Lock {
    _file: File,
}

impl Lock {
    /// Waits for the lock file at `path`, saying on `step` for whom.
    pub(crate) async fn acquire(
        path: &Path,
        step: &Step,
        deadline: Deadline,
    ) -> Result<Self, Error> {
        let failed = |source| Error::Lock {
            path: path.to_owned(),
            source,
        };
        let mut file = lock_file::open(path).map_err(failed)?;
        let mut told = false;
        loop {
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => break,
                Err(rustix::io::Errno::WOULDBLOCK | rustix::io::Errno::INTR) => {}
                Err(errno) => return Err(failed(errno.into())),
            }
            if deadline.is_over() {
                return Err(Error::LockTimeout {
                    holder: holder(&mut file),
                    waited: deadline.limit(),
                    path: path.to_owned(),
                });
            }
            if !told {
                step.detail(&format!("waiting for {}", holder(&mut file)));
                told = true;
            }
            tokio::time::sleep(RETRY).await;
        }
        // On a full disk nobody is told, which is no reason to do nothing.
        if let Err(error) = sign(&mut file) {
            tracing::debug!(lock = %path.display(), %error, "not signed");
        }
        Ok(Self { _file: file })
    }
}

/// Writes who holds the lock, for people who wonder; nothing reads it to decide.
fn sign(file: &mut File) -> std::io::Result<()> {
    file.set_len(0)?;
    file.seek(SeekFrom::Start(0))?;
    write!(
        file,
        "process {} since {}",
        std::process::id(),
        jiff::Timestamp::now().strftime("%H:%M:%S UTC")
    )
}

fn holder(file: &mut File) -> String {
    let mut text = String::new();
    let read = file
        .seek(SeekFrom::Start(0))
        .and_then(|_| file.read_to_string(&mut text));
    match read {
        Ok(_) if !text.is_empty() => text,
        _ => "another process".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::progress::Progress;

    async fn acquire(directory: &Path, limit: Duration) -> Result<Lock, Error> {
        let step = Progress::silent().step("test");
        Lock::acquire(
            &directory.join("locks/host.lock"),
            &step,
            Deadline::after("lock", limit),
        )
        .await
    }

    #[tokio::test]
    async fn the_second_waits_for_the_first() {
        let dir = tempfile::tempdir().unwrap();
        let first = acquire(dir.path(), Duration::ZERO).await.unwrap();
        let directory = dir.path().to_owned();
        let second =
            tokio::spawn(async move { acquire(&directory, Duration::from_secs(10)).await });
        tokio::task::yield_now().await;
        assert!(!second.is_finished());
        drop(first);
        drop(second.await.unwrap().unwrap());
    }

    #[tokio::test]
    async fn a_lock_that_stays_held_names_its_holder() {
        let dir = tempfile::tempdir().unwrap();
        let _first = acquire(dir.path(), Duration::ZERO).await.unwrap();
        let error = acquire(dir.path(), Duration::ZERO).await.unwrap_err();
        let process = format!("process {}", std::process::id());
        assert!(error.to_string().contains(&process), "{error}");
    }
}
