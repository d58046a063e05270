//! A store as a reset sees it.

use std::collections::BTreeMap;

use super::Error;

/// A key's value, and when it came about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) value: Vec<u8>,
    /// The revision that made the key.
    pub(super) created: i64,
    /// The revision that gave it this value.
    pub(super) modified: i64,
}

/// All that an API server keeps, by key.
pub(super) type Entries = BTreeMap<String, Entry>;

/// The whole store at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Reading {
    pub(super) revision: i64,
    pub(super) entries: Entries,
}

/// One change. It is made only if the key is as it was when it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Write {
    pub(super) key: String,
    /// The revision that the key was last changed by; nought if it must not be there.
    pub(super) seen: i64,
    /// The new value; none to delete the key.
    pub(super) value: Option<Vec<u8>>,
}

/// What became of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Written {
    /// It was made.
    Done,
    /// The key was changed before, last by this revision; nought if it is gone.
    Missed(i64),
}

/// Where an API server keeps what it knows.
pub(super) trait Store {
    /// How many bytes it takes, with all that it remembers of before.
    async fn size(&self) -> Result<u64, Error>;

    /// Reads all of it.
    async fn read(&self) -> Result<Reading, Error>;

    /// Makes one change, unless the key is not as it was.
    async fn write(&self, write: &Write) -> Result<Written, Error>;
}
