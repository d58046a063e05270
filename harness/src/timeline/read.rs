//! Reading a time line back.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use super::{Event, FILE};

/// What a run wrote.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Timeline {
    /// Its events by the time they began.
    pub events: Vec<Event>,
    /// How many lines are no events: a disk was full, or a machine went down.
    pub unreadable: usize,
}

/// A time line that cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// No run wrote there.
    #[error("there is no time line {}", path.display())]
    Missing {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// The file system refuses.
    #[error("could not read time line {}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl Timeline {
    /// Reads the time line in the directory of a run.
    ///
    /// # Errors
    /// There is none, or it cannot be read.
    pub fn read(run: &Path) -> Result<Self, ReadError> {
        let path = run.join(FILE);
        match fs::read(&path) {
            Ok(bytes) => Ok(Self::of_lines(&String::from_utf8_lossy(&bytes))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(ReadError::Missing { path })
            }
            Err(source) => Err(ReadError::Read { path, source }),
        }
    }

    /// Reads lines. One that is no event is counted and left out.
    pub fn of_lines(lines: &str) -> Self {
        let mut timeline = Self::default();
        for line in lines.lines().filter(|line| !line.trim().is_empty()) {
            match serde_json::from_str(line) {
                Ok(event) => timeline.events.push(event),
                Err(_) => timeline.unreadable += 1,
            }
        }
        timeline.events.sort_by_key(|event: &Event| event.at);
        timeline
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_torn_line_costs_only_itself() {
        let timeline = Timeline::of_lines(concat!(
            "{\"at\":\"2026-01-02T03:04:06Z\",\"process\":7,\"kind\":\"pool\",\"name\":\"late\"}\n",
            "{\"at\":\"2026-01-02T03:04:05Z\",\"process\":7,\"kind\":\"pool\",\"name\":\"early\"}\n\n",
            "{\"at\":\"2026-01-0",
        ));
        let names: Vec<_> = timeline.events.iter().map(|event| &event.name).collect();
        assert_eq!(names, ["early", "late"]);
        assert_eq!(timeline.unreadable, 1);
    }

    #[test]
    fn a_run_without_one_is_named() {
        let error = Timeline::read(Path::new("/no/such/run")).unwrap_err();
        assert_eq!(
            error.to_string(),
            "there is no time line /no/such/run/timeline.jsonl"
        );
    }
}
