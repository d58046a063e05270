//! A directory that one task fills and others read.

use std::{
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use tokio::{
    sync::watch,
    time::{Instant, timeout_at},
};

use super::{directory::Directory, refusal::Refusal};

/// A handle to a [`Directory`], cheap to clone.
#[derive(Debug, Clone)]
pub struct SharedDirectory {
    directory: Arc<RwLock<Directory>>,
    changes: watch::Sender<()>,
}

impl SharedDirectory {
    /// Shares `directory`.
    pub fn new(directory: Directory) -> Self {
        Self {
            directory: Arc::new(RwLock::new(directory)),
            changes: watch::Sender::new(()),
        }
    }

    /// Changes the directory and wakes who waits for it.
    pub fn update(&self, change: impl FnOnce(&mut Directory)) {
        let lock = self.directory.write();
        change(&mut lock.unwrap_or_else(PoisonError::into_inner));
        self.changes.send_replace(());
    }

    /// Looks something up at once.
    pub(super) fn read<T>(&self, question: impl FnOnce(&Directory) -> T) -> T {
        let lock = self.directory.read();
        question(&lock.unwrap_or_else(PoisonError::into_inner))
    }

    /// Asks the directory. What the host has not told yet is given `patience` to arrive: a tenant
    /// may see a pod as running a moment before the relay does.
    ///
    /// # Errors
    ///
    /// The refusal that stands in the end.
    pub async fn ask<T>(
        &self,
        patience: Duration,
        question: impl Fn(&Directory) -> Result<T, Refusal>,
    ) -> Result<T, Refusal> {
        let end = Instant::now() + patience;
        let mut changes = self.changes.subscribe();
        loop {
            changes.mark_unchanged();
            match self.read(&question) {
                Err(refusal) if refusal.may_pass() => {
                    // The sender lives in `self`, so only the time can end this wait early.
                    if timeout_at(end, changes.changed()).await.is_err() {
                        return Err(refusal);
                    }
                }
                answer => return answer,
            }
        }
    }
}
