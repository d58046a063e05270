//! The files of a bundle, with a limit to their size.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

use super::report::Report;

/// What a whole bundle may take on disk.
const SIZE_LIMIT: u64 = 32 * 1024 * 1024;

/// What was collected about a failure.
#[derive(Debug, Clone)]
pub struct Bundle {
    /// Where its files are; `None` when nothing could be written.
    pub path: Option<PathBuf>,
    /// What to tell the user.
    pub report: Report,
}

/// Writes files into a bundle.
#[derive(Debug)]
pub(super) struct Writer {
    directory: PathBuf,
    written: AtomicU64,
}

impl Writer {
    pub(super) fn new(directory: PathBuf) -> Self {
        Self {
            directory,
            written: AtomicU64::new(0),
        }
    }

    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Writes a file, or the part of it for which there is room.
    pub(super) fn write(&self, path: impl AsRef<Path>, content: &str) -> io::Result<()> {
        let wanted = content.len() as u64;
        let before = self.written.fetch_add(wanted, Ordering::Relaxed);
        let room = SIZE_LIMIT.saturating_sub(before);
        let path = self.directory.join(path);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        if wanted <= room {
            return fs::write(path, content);
        }
        let end = (0..=usize::try_from(room).unwrap_or(usize::MAX))
            .rev()
            .find(|end| content.is_char_boundary(*end))
            .unwrap_or(0);
        let cut = format!("{}\n[cut: the bundle is full]\n", &content[..end]);
        fs::write(path, cut)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bundle_does_not_outgrow_its_limit() {
        let directory = tempfile::tempdir().unwrap();
        let writer = Writer::new(directory.path().to_owned());
        let most = "x".repeat(usize::try_from(SIZE_LIMIT).unwrap() - 4);
        writer.write("logs/big.log", &most).unwrap();
        writer.write("logs/late.log", "äää and more").unwrap();
        let late = fs::read_to_string(directory.path().join("logs/late.log")).unwrap();
        assert_eq!(late, "ää\n[cut: the bundle is full]\n");
    }
}
