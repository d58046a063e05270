//! What is known about a cached file, kept beside it: the proof that it is whole.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::Error;

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

/// Use is noted no more often than this.
const DAY: Duration = Duration::from_hours(24);

impl Record {
    /// Where the record of a file lies.
    pub(super) fn path(file: &Path) -> PathBuf {
        let mut name = file.as_os_str().to_owned();
        name.push(".json");
        name.into()
    }

    /// The record of a file; an unreadable one is as good as none.
    pub(super) fn read(file: &Path) -> Option<Self> {
        serde_json::from_slice(&fs::read(Self::path(file)).ok()?).ok()
    }

    /// Keeps the record of a file.
    ///
    /// # Errors
    /// It cannot be written.
    pub(super) fn write(&self, file: &Path) -> Result<(), Error> {
        let path = Self::path(file);
        let text = serde_json::to_vec_pretty(self).expect("a record is plain data");
        let error = || Error::io("write", &path);
        let directory = path.parent().unwrap_or(Path::new("."));
        let mut draft = tempfile::NamedTempFile::new_in(directory).map_err(error())?;
        draft.write_all(&text).map_err(error())?;
        draft.as_file().sync_all().map_err(error())?;
        draft
            .persist(&path)
            .map_err(|failed| error()(failed.error))?;
        Ok(())
    }

    /// Notes that the file is in use: the time of the record is the time of the last use.
    pub(super) fn note_use(file: &Path) {
        if Self::idle(file).is_some_and(|idle| idle < DAY) {
            return;
        }
        let noted = File::options()
            .write(true)
            .open(Self::path(file))
            .and_then(|record| record.set_modified(SystemTime::now()));
        if let Err(error) = noted {
            tracing::debug!(file = %file.display(), %error, "use of a cached file is not noted");
        }
    }

    /// For how long the file was not used.
    pub(super) fn idle(file: &Path) -> Option<Duration> {
        let used = fs::metadata(Self::path(file)).ok()?.modified().ok()?;
        SystemTime::now().duration_since(used).ok()
    }

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
