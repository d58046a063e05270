//! The queue and the places, as files: `admission/<number>-<pid>.place` in the cache directory.
//!
//! Each is locked by its process for as long as it waits or has its place. Who looks removes those that
//! nobody holds. A guard lock, held for moments, makes looking and changing one step.

use std::{
    fs::{self, File},
    io::{self, Read as _, Seek as _, Write as _},
    path::{Path, PathBuf},
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::decide::{Occupancy, Reason};
use crate::lock_file;

/// The queue of one user on this machine.
#[derive(Debug, Clone)]
pub(super) struct Queue {
    directory: PathBuf,
}

/// What a file says of its holder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Entry {
    pub(super) test: String,
    pub(super) process: u32,
    pub(super) clusters: usize,
    pub(super) state: State,
    pub(super) since: Timestamp,
}

/// How far a test has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum State {
    Waiting,
    Starting,
    Running,
}

/// A place in the queue or on the machine. It is given up when this is dropped or the process ends.
#[derive(Debug)]
pub(super) struct Place {
    number: u64,
    path: PathBuf,
    file: File,
}

/// The right to look and to change. Held for moments only.
#[derive(Debug)]
pub(super) struct Guard {
    _file: File,
}

/// Everybody who has a place, by number.
#[derive(Debug, Default)]
pub(super) struct Seen {
    entries: Vec<(u64, Entry)>,
    last: u64,
}

/// A queue that cannot be used, or in which a test waited too long.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Its files.
    #[error("could not use {} to queue up for room on this machine", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Somebody holds the guard and does not go on.
    #[error(
        "{} is locked by a process that does not go on; is it stopped?",
        path.display()
    )]
    Stuck {
        /// The lock file.
        path: PathBuf,
    },
    /// There was no room.
    #[error(
        "there was no room for {clusters} more clusters on this machine within {waited}, waiting for {reason}; \
         VCLUSTER_TEST_CLUSTERS and VCLUSTER_TEST_STARTS set how many there may be"
    )]
    NoRoom {
        /// How many were wanted.
        clusters: usize,
        /// How long it waited.
        waited: humantime::FormattedDuration,
        /// For what it waited last.
        reason: Reason,
    },
}

impl Queue {
    pub(super) fn new(cache: &Path) -> Self {
        Self {
            directory: cache.join("admission"),
        }
    }

    /// The guard, unless somebody else has it just now.
    pub(super) fn guard(&self) -> Result<Option<Guard>, Error> {
        let path = self.guard_path();
        let file = lock_file::alone(&path).map_err(at(&path))?;
        Ok(file.map(|file| Guard { _file: file }))
    }

    pub(super) fn guard_path(&self) -> PathBuf {
        self.directory.join(".lock")
    }

    /// Joins at the end.
    pub(super) fn join(&self, guard: &Guard, entry: &Entry) -> Result<Place, Error> {
        let number = self.look(guard)?.last + 1;
        let name = format!("{number:010}-{}.place", entry.process);
        let path = self.directory.join(name);
        let file = lock_file::open(&path).map_err(at(&path))?;
        file.lock().map_err(at(&path))?;
        let place = Place { number, path, file };
        place.write(guard, entry)?;
        Ok(place)
    }

    /// Who is there. Removes what the dead left.
    pub(super) fn look(&self, _: &Guard) -> Result<Seen, Error> {
        let mut seen = Seen::default();
        for found in fs::read_dir(&self.directory).map_err(at(&self.directory))? {
            let path = found.map_err(at(&self.directory))?.path();
            let Some(number) = number_of(&path) else {
                continue;
            };
            seen.last = seen.last.max(number);
            let mut file = match File::open(&path) {
                Ok(file) => file,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(at(&path)(error)),
            };
            if lock_file::try_alone(&file).map_err(at(&path))? {
                remove(&path)?;
            } else {
                seen.entries.push((number, read(&mut file)));
            }
        }
        seen.entries.sort_by_key(|(number, _)| *number);
        Ok(seen)
    }
}

impl Place {
    /// Says how far this test has come.
    pub(super) fn write(&self, _: &Guard, entry: &Entry) -> Result<(), Error> {
        let write = |mut file: &File| {
            file.set_len(0)?;
            file.rewind()?;
            file.write_all(&serde_json::to_vec(entry).map_err(io::Error::other)?)
        };
        write(&self.file).map_err(at(&self.path))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // What stays is removed by the next who looks: nobody holds its lock.
        drop(fs::remove_file(&self.path));
    }
}

impl Seen {
    /// How many wait longer than the holder of this place.
    pub(super) fn ahead_of(&self, place: &Place) -> usize {
        let ahead = self
            .entries
            .iter()
            .filter(|(number, entry)| *number < place.number && entry.state == State::Waiting);
        ahead.count()
    }

    /// The clusters of those that do not wait any more.
    pub(super) fn occupancy(&self) -> Occupancy {
        let count = |state| {
            let entries = self
                .entries
                .iter()
                .filter(|(_, entry)| entry.state == state);
            entries.map(|(_, entry)| entry.clusters).sum()
        };
        Occupancy {
            starting: count(State::Starting),
            running: count(State::Running),
        }
    }
}

/// Who writes nonsense is of another version of this library, and there all the same.
fn read(file: &mut File) -> Entry {
    let mut text = String::new();
    let read = file.read_to_string(&mut text).ok();
    read.and_then(|_| serde_json::from_str(&text).ok())
        .unwrap_or_else(|| Entry {
            test: String::new(),
            process: 0,
            clusters: 1,
            state: State::Running,
            since: Timestamp::UNIX_EPOCH,
        })
}

fn number_of(path: &Path) -> Option<u64> {
    let name = path.file_name()?.to_str()?.strip_suffix(".place")?;
    name.split_once('-')?.0.parse().ok()
}

fn remove(path: &Path) -> Result<(), Error> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(at(path)(error)),
        _ => Ok(()),
    }
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> Error {
    move |source| Error::File {
        path: path.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(state: State, clusters: usize) -> Entry {
        Entry {
            test: "t".to_owned(),
            process: std::process::id(),
            clusters,
            state,
            since: Timestamp::now(),
        }
    }

    #[test]
    fn places_are_counted_by_state_and_in_order() {
        let cache = tempfile::tempdir().unwrap();
        let queue = Queue::new(cache.path());
        let guard = queue.guard().unwrap().unwrap();
        let _running = queue.join(&guard, &entry(State::Running, 2)).unwrap();
        let starting = queue.join(&guard, &entry(State::Starting, 1)).unwrap();
        let first = queue.join(&guard, &entry(State::Waiting, 1)).unwrap();
        let second = queue.join(&guard, &entry(State::Waiting, 1)).unwrap();
        let seen = queue.look(&guard).unwrap();
        assert_eq!((seen.ahead_of(&first), seen.ahead_of(&second)), (0, 1));
        let occupancy = Occupancy {
            starting: 1,
            running: 2,
        };
        assert_eq!(seen.occupancy(), occupancy);
        starting.write(&guard, &entry(State::Running, 1)).unwrap();
        assert_eq!(queue.look(&guard).unwrap().occupancy().running, 3);
        drop(first);
        assert_eq!(queue.look(&guard).unwrap().ahead_of(&second), 0);
    }

    #[test]
    fn what_nobody_holds_is_removed_and_what_cannot_be_read_counts() {
        let cache = tempfile::tempdir().unwrap();
        let queue = Queue::new(cache.path());
        let guard = queue.guard().unwrap().unwrap();
        let dead = cache.path().join("admission/0000000007-1.place");
        fs::write(&dead, "").unwrap();
        let odd = cache.path().join("admission/0000000008-1.place");
        fs::write(&odd, "a later version's").unwrap();
        let holder = File::open(&odd).unwrap();
        holder.lock().unwrap();
        let seen = queue.look(&guard).unwrap();
        assert_eq!(seen.occupancy().running, 1);
        assert!(!dead.exists() && odd.exists());
        let next = queue.join(&guard, &entry(State::Waiting, 1)).unwrap();
        assert_eq!(next.number, 9);
    }

    #[test]
    fn the_guard_is_for_one() {
        let cache = tempfile::tempdir().unwrap();
        let queue = Queue::new(cache.path());
        let guard = queue.guard().unwrap();
        assert!(guard.is_some() && queue.guard().unwrap().is_none());
        drop(guard);
        assert!(queue.guard().unwrap().is_some());
    }
}
