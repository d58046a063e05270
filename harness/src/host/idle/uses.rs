//! The lock that all users of a host share, and that its idle timer must have alone to delete it.

use std::{
    collections::BTreeMap,
    fs::File,
    io,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use super::super::Error;
use crate::{
    deadline::Deadline,
    lock_file::{alone, is_at, open, try_shared},
    progress::Progress,
};

/// How often a host that is being deleted is looked at.
const RETRY: Duration = Duration::from_millis(50);
/// How long a deletion may take.
const DELETION: Duration = Duration::from_mins(3);

/// What this process holds until it ends: files by path.
static JOINED: Mutex<BTreeMap<PathBuf, File>> = Mutex::new(BTreeMap::new());

/// The locks of one host.
#[derive(Debug, Clone)]
pub(crate) struct Uses {
    shared: PathBuf,
    timer: PathBuf,
}

impl Uses {
    /// Of the host of this name, for the user of this cache.
    pub(crate) fn of(cache: &Path, host: &str) -> Self {
        let locks = cache.join("locks");
        Self {
            shared: locks.join(format!("host-{host}.use")),
            timer: locks.join(format!("host-{host}.idle")),
        }
    }

    /// From here until it ends, this process uses the host. Waits for a deletion that is under way.
    ///
    /// # Errors
    /// The file cannot be locked, or the deletion does not end.
    pub(crate) async fn join(&self, progress: &Progress) -> Result<(), Error> {
        let is_joined = || {
            let joined = JOINED.lock().unwrap_or_else(PoisonError::into_inner);
            joined.contains_key(&self.shared)
        };
        if is_joined() {
            return Ok(());
        }
        let failed = |source| Error::Lock {
            path: self.shared.clone(),
            source,
        };
        let deadline = Deadline::after("deletion of an idle host", DELETION);
        let mut step = None;
        let file = loop {
            let file = open(&self.shared).map_err(failed)?;
            // One that was pruned meanwhile is nobody else's lock.
            if try_shared(&file).map_err(failed)? && is_at(&file, &self.shared) {
                break file;
            }
            if deadline.is_over() {
                return Err(Error::LockTimeout {
                    holder: "a process that deletes the idle host".to_owned(),
                    waited: deadline.limit(),
                    path: self.shared.clone(),
                });
            }
            step.get_or_insert_with(|| progress.step("waiting for the end of an idle host"));
            tokio::time::sleep(RETRY).await;
        };
        if let Some(step) = step {
            step.done();
        }
        let mut joined = JOINED.lock().unwrap_or_else(PoisonError::into_inner);
        joined.entry(self.shared.clone()).or_insert(file);
        Ok(())
    }

    /// Uses the host until the file is dropped; `None` while somebody deletes it.
    pub(crate) fn hold(&self) -> io::Result<Option<File>> {
        let file = open(&self.shared)?;
        Ok(try_shared(&file)?.then_some(file))
    }

    /// Keeps everybody else from using the host; `None` while somebody does.
    pub(super) fn try_alone(&self) -> io::Result<Option<File>> {
        alone(&self.shared)
    }

    /// The right to be the timer; `None` when another process is.
    pub(super) fn try_timer(&self) -> io::Result<Option<File>> {
        alone(&self.timer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_alone_while_somebody_uses_the_host() {
        let cache = tempfile::tempdir().unwrap();
        let uses = Uses::of(cache.path(), "h");
        let (one, other) = (uses.hold().unwrap(), uses.hold().unwrap());
        assert!(one.is_some() && other.is_some());
        drop(one);
        assert!(uses.try_alone().unwrap().is_none());
        drop(other);
        let alone = uses.try_alone().unwrap();
        assert!(alone.is_some() && uses.hold().unwrap().is_none());
        drop(alone);
        assert!(uses.hold().unwrap().is_some());
    }

    #[tokio::test]
    async fn a_new_user_waits_for_the_end_of_a_deletion_and_stays() {
        let cache = tempfile::tempdir().unwrap();
        let uses = Uses::of(cache.path(), "h");
        let deletion = uses.try_alone().unwrap().unwrap();
        let joining = tokio::spawn({
            let uses = uses.clone();
            async move { uses.join(&Progress::silent()).await }
        });
        tokio::task::yield_now().await;
        assert!(!joining.is_finished());
        drop(deletion);
        joining.await.unwrap().unwrap();
        assert!(uses.try_alone().unwrap().is_none(), "this process uses it");
        uses.join(&Progress::silent()).await.unwrap();
    }

    #[test]
    fn there_is_one_timer() {
        let cache = tempfile::tempdir().unwrap();
        let uses = Uses::of(cache.path(), "h");
        let first = uses.try_timer().unwrap();
        assert!(first.is_some() && uses.try_timer().unwrap().is_none());
        assert!(
            Uses::of(cache.path(), "other")
                .try_timer()
                .unwrap()
                .is_some()
        );
    }
}
