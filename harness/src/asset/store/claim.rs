//! The right to make something, held by one process at a time. The kernel releases it.

use std::{
    fs::File,
    io::{Read as _, Seek as _, Write as _},
    path::Path,
    time::{Duration, Instant},
};

use super::Error;
use crate::{deadline::Deadline, lock_file, progress::Progress};

/// A lock on a file, given back when dropped or when the process ends, however it ends.
#[derive(Debug)]
pub(crate) struct Claim {
    _file: File,
}

/// How often a waiter looks. `flock` has no time limit of its own.
const POLL: Duration = Duration::from_millis(100);

/// A shorter wait is not worth a line on the screen.
const PATIENCE: Duration = Duration::from_secs(1);

impl Claim {
    /// Waits until nobody else holds the lock at `path`, and says so when it takes long.
    ///
    /// # Errors
    /// The deadline passed, or the file cannot be opened.
    pub(crate) async fn take(
        path: &Path,
        what: &str,
        progress: &Progress,
        deadline: Deadline,
    ) -> Result<Self, Error> {
        let mut file = lock_file::open(path).map_err(Error::io("open", path))?;
        let started = Instant::now();
        let mut step = None;
        loop {
            if lock_file::try_alone(&file).map_err(Error::io("lock", path))? {
                break;
            }
            if deadline.is_over() {
                return Err(Error::StillClaimed {
                    what: what.to_owned(),
                    owner: owner(&mut file),
                    waited: started.elapsed(),
                });
            }
            if step.is_none() && started.elapsed() > PATIENCE {
                let owner = owner(&mut file);
                // Another task of this process shows its own progress.
                if owner != own_name() {
                    let title = format!("waiting for {what}, which {owner} is making");
                    step = Some(progress.step(title));
                }
            }
            tokio::time::sleep(POLL.min(deadline.remaining())).await;
        }
        if let Some(step) = step {
            step.done();
        }
        // On a full disk they are not told; what is made then says so itself.
        if let Err(error) = sign(&mut file) {
            tracing::debug!(lock = %path.display(), %error, "not signed");
        }
        Ok(Self { _file: file })
    }
}

/// Writes who we are, for those who wait. The lock does not depend on it.
fn sign(file: &mut File) -> std::io::Result<()> {
    let text = format!("{}\n", own_name());
    file.set_len(0)?;
    file.rewind()?;
    file.write_all(text.as_bytes())
}

fn own_name() -> String {
    let program = std::env::current_exe().unwrap_or_default();
    let program = program.file_name().unwrap_or_default().to_string_lossy();
    format!("process {} ({program})", std::process::id())
}

fn owner(file: &mut File) -> String {
    let mut text = String::new();
    let read = file.rewind().and_then(|()| file.read_to_string(&mut text));
    match (read, text.trim()) {
        (Ok(_), text) if !text.is_empty() => text.to_owned(),
        _ => "another process".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    /// What builds goes on for a while when whoever started it was killed. It has the file open for a moment, until
    /// the kernel has closed what a new program does not get.
    #[tokio::test]
    async fn a_program_that_was_started_meanwhile_has_no_part_in_the_right() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("etcd.lock");
        let progress = Progress::silent();
        let take = async || {
            let deadline = Deadline::after("another creator", Duration::from_secs(20));
            Claim::take(&path, "etcd", &progress, deadline).await
        };
        let claim = take().await.unwrap();
        let mut builder = Command::new("sleep").arg("60").spawn().unwrap();
        drop(claim);
        let taken = take().await;
        builder.kill().and_then(|()| builder.wait()).unwrap();
        taken.unwrap();
    }
}
