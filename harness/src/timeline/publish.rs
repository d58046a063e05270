//! Puts the page beside the time line that it is made of.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use super::{PAGE, ReadError, Timeline, layout, layout::Totals, page};

/// A page that was written.
#[derive(Debug, Clone, PartialEq)]
pub struct Published {
    /// Where it is.
    pub page: PathBuf,
    /// What it shows.
    pub totals: Totals,
}

/// A page that could not be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PublishError {
    /// There is nothing to make it of.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The file system refuses.
    #[error("could not write the page {}", path.display())]
    Write {
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Makes the page of the run in this directory. The link `latest` will do.
///
/// # Errors
/// The run has no time line, or the page cannot be written.
pub fn publish(run: &Path) -> Result<Published, PublishError> {
    let timeline = Timeline::read(run)?;
    let run = fs::canonicalize(run).unwrap_or_else(|_| run.to_owned());
    let name = run.file_name().unwrap_or_default().to_string_lossy();
    let path = run.join(PAGE);
    fs::write(&path, page(&timeline, &format!("Run {name}"))).map_err(|source| {
        PublishError::Write {
            path: path.clone(),
            source,
        }
    })?;
    Ok(Published {
        page: path,
        totals: layout::chart(&timeline).totals(),
    })
}

#[cfg(test)]
mod tests {
    use super::{super::FILE, *};

    #[test]
    fn the_page_lies_beside_its_time_line() {
        let root = tempfile::tempdir().unwrap();
        let run = root.path().join("r1");
        fs::create_dir(&run).unwrap();
        let line = r#"{"at":"2026-01-01T00:00:00Z","process":1,"test":"t","kind":"test","name":"end","seconds":2}"#;
        fs::write(run.join(FILE), line).unwrap();
        let published = publish(&run).unwrap();
        assert_eq!((published.totals.tests, published.totals.failed), (1, 0));
        let page = fs::read_to_string(published.page).unwrap();
        assert!(page.contains("<h1>Run r1</h1>"), "{page}");
    }
}
