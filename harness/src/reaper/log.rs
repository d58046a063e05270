//! The reaper's own log: in the directory of the run while it lives, its end in the cache afterwards.

use std::{
    fs::File,
    io::{self, Read as _, Seek as _, Write as _},
    path::{Path, PathBuf},
    sync::Mutex,
};

use super::order::Order;
use crate::lock_file;

/// How many lines are kept of all reapers together.
const KEPT_LINES: usize = 500;

/// A log that is being written.
#[derive(Debug)]
pub(super) struct Log {
    path: PathBuf,
    kept: PathBuf,
}

impl Log {
    /// From here on, what this process traces goes to the run's log. A log is never a reason to fail.
    pub(super) fn start(directory: &Path, order: &Order) -> Self {
        let path = directory.join("reaper.log");
        if let Ok(file) = File::create(&path) {
            let subscriber = tracing_subscriber::fmt()
                .with_ansi(false)
                .with_env_filter("info,kube=warn")
                .with_writer(Mutex::new(file))
                .finish();
            drop(tracing::subscriber::set_global_default(subscriber));
        }
        Self {
            path,
            kept: order.log.clone(),
        }
    }

    /// Adds the run's log to the kept one.
    pub(super) fn finish(self) {
        drop(std::fs::read_to_string(&self.path).and_then(|text| append(&self.kept, &text)));
    }
}

/// Several reapers may end at once, hence the lock.
pub(super) fn append(path: &Path, text: &str) -> io::Result<()> {
    let mut file = lock_file::open(path)?;
    file.lock()?;
    let mut all = String::new();
    file.read_to_string(&mut all)?;
    all.push_str(text);
    let lines: Vec<_> = all.lines().collect();
    let kept = &lines[lines.len().saturating_sub(KEPT_LINES)..];
    file.rewind()?;
    file.set_len(0)?;
    file.write_all((kept.join("\n") + "\n").as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_end_is_kept() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("reaper.log");
        for number in 0..KEPT_LINES + 3 {
            append(&path, &format!("line {number}\n")).unwrap();
        }
        let text = std::fs::read_to_string(path).unwrap();
        assert_eq!(text.lines().count(), KEPT_LINES);
        assert_eq!(text.lines().next(), Some("line 3"));
    }
}
