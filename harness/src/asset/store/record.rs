//! What is known about a cached file, kept beside it: the proof that it is whole.

use std::{fs::File, io, os::unix::fs::MetadataExt as _, path::Path};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// Checksum and size, and the times of the file when its content was last compared with them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    /// Of the content, in hexadecimal.
    pub(crate) sha256: String,
    /// In bytes.
    pub(crate) size: u64,
    /// How long it took to make, in seconds.
    pub(crate) seconds: u64,
    seen: Seen,
}

/// The kernel moves these forward whenever a file is written or replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Seen {
    inode: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

/// How a file compares with its record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Untouched since it was last compared.
    Untouched,
    /// Touched, but of the same content; the record to keep from now on.
    Same(Record),
    /// Another content than was recorded.
    Corrupted,
}

impl Record {
    /// Reads the whole file.
    pub(crate) fn of(path: &Path, seconds: u64) -> io::Result<Self> {
        let mut file = File::open(path)?;
        let (sha256, size) = checksum(&mut file)?;
        Ok(Self {
            sha256,
            size,
            seconds,
            seen: Seen::of(&file.metadata()?),
        })
    }

    /// Compares; reads the file only if it was touched since the last time.
    pub(crate) fn judge(&self, path: &Path) -> io::Result<Verdict> {
        let metadata = std::fs::metadata(path)?;
        if metadata.len() != self.size {
            return Ok(Verdict::Corrupted);
        }
        if Seen::of(&metadata) == self.seen {
            return Ok(Verdict::Untouched);
        }
        let now = Self::of(path, self.seconds)?;
        Ok(if now.sha256 == self.sha256 {
            Verdict::Same(now)
        } else {
            Verdict::Corrupted
        })
    }
}

impl Seen {
    fn of(metadata: &std::fs::Metadata) -> Self {
        Self {
            inode: metadata.ino(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

/// SHA-256 of all there is to read, and its length.
pub(crate) fn checksum(reader: &mut impl io::Read) -> io::Result<(String, u64)> {
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 18];
    let mut size = 0;
    loop {
        match reader.read(&mut buffer)? {
            0 => return Ok((hex::encode(hasher.finalize()), size)),
            n => {
                hasher.update(&buffer[..n]);
                size += n as u64;
            }
        }
    }
}
