//! Running the programs that build: with a time limit, keeping the last lines for the error.

use std::{
    collections::VecDeque,
    process::Stdio,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    io::{AsyncBufReadExt as _, AsyncRead, BufReader},
    process::Command,
};

use super::Error;

/// Lines of each stream that an error shows.
const TAIL: usize = 20;

/// Runs a program to its end. The child ends when the future is dropped.
///
/// # Errors
/// It could not be run, failed, or took longer than `limit`.
pub(crate) async fn run(command: &mut Command, limit: Duration) -> Result<(), Error> {
    let program = describe(command);
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|source| Error::Run {
            program: program.clone(),
            source,
        })?;
    let (said, complained) = (Tail::default(), Tail::default());
    let (out, err) = (child.stdout.take(), child.stderr.take());
    let whole = async {
        tokio::join!(said.collect(out), complained.collect(err));
        child.wait().await
    };
    let ended = tokio::time::timeout(limit, whole).await;
    // One may be long and the other short; neither shall hide the other.
    let tail = [said.text(), complained.text()].concat();
    match ended {
        Err(_) => Err(Error::TooSlow {
            program,
            limit,
            tail,
        }),
        Ok(Err(source)) => Err(Error::Run { program, source }),
        Ok(Ok(status)) if status.success() => Ok(()),
        Ok(Ok(_)) if tail.to_lowercase().contains("no space left on device") => {
            Err(Error::DiskFull { program, tail })
        }
        Ok(Ok(status)) => Err(Error::Failed {
            program,
            status: status.to_string(),
            tail,
        }),
    }
}

/// Runs a program to its end and gives what it said on standard output.
///
/// # Errors
/// It could not be run, failed, or took longer than `limit`.
pub(crate) async fn output(command: &mut Command, limit: Duration) -> Result<String, Error> {
    let program = describe(command);
    let ended = command.stdin(Stdio::null()).kill_on_drop(true).output();
    let output = match tokio::time::timeout(limit, ended).await {
        Err(_) => {
            return Err(Error::TooSlow {
                program,
                limit,
                tail: String::new(),
            });
        }
        Ok(Err(source)) => return Err(Error::Run { program, source }),
        Ok(Ok(output)) => output,
    };
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(Error::Failed {
        program,
        status: output.status.to_string(),
        tail: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}

/// Is there a program of this name on the search path?
pub(crate) fn exists(program: &str) -> bool {
    std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|dir| dir.join(program).is_file()))
}

/// The last lines of a stream. They can be had while it is still being read.
#[derive(Debug, Default)]
struct Tail {
    lines: Mutex<VecDeque<String>>,
}

impl Tail {
    async fn collect<R: AsyncRead + Unpin>(&self, stream: Option<R>) {
        let Some(stream) = stream else { return };
        let mut reader = BufReader::new(stream).split(b'\n');
        while let Ok(Some(line)) = reader.next_segment().await {
            let line = String::from_utf8_lossy(&line).into_owned();
            tracing::trace!(line, "build output");
            let mut lines = self.lock();
            if lines.len() == TAIL {
                lines.pop_front();
            }
            lines.push_back(line);
        }
    }

    fn text(&self) -> String {
        let mut text = String::new();
        for line in self.lock().iter() {
            text.push_str(line);
            text.push('\n');
        }
        text
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<String>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn describe(command: &Command) -> String {
    let command = command.as_std();
    std::iter::once(command.get_program())
        .chain(command.get_args().take(2))
        .map(|part| part.to_string_lossy())
        .collect::<Vec<_>>()
        .join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_secs(20);

    #[tokio::test]
    async fn a_failure_shows_the_last_lines() {
        let mut command = Command::new("sh");
        command.args(["-c", "seq 1 100; echo broken >&2; exit 3"]);
        let error = run(&mut command, SOON).await.unwrap_err();
        let Error::Failed { status, tail, .. } = error else {
            panic!("{error:?}")
        };
        assert!(status.contains('3'), "{status}");
        assert!(tail.contains("100") && tail.contains("broken"), "{tail}");
        assert!(!tail.contains("\n1\n"), "{tail}");
    }

    #[tokio::test]
    async fn output_that_is_not_text_is_no_obstacle() {
        let mut command = Command::new("sh");
        command.args([
            "-c",
            "head -c 300000 /dev/zero | tr '\\0' '\\377'; echo; echo end >&2",
        ]);
        run(&mut command, SOON).await.unwrap();
    }

    #[tokio::test]
    async fn a_full_disk_is_told_apart() {
        let mut command = Command::new("sh");
        command.args([
            "-c",
            "echo 'ld: write: No space left on device' >&2; exit 1",
        ]);
        let error = run(&mut command, SOON).await.unwrap_err();
        assert!(matches!(error, Error::DiskFull { .. }), "{error:?}");
    }

    #[tokio::test]
    async fn a_slow_program_is_ended() {
        let mut command = Command::new("sleep");
        command.arg("60");
        let error = run(&mut command, Duration::from_millis(50))
            .await
            .unwrap_err();
        assert!(matches!(error, Error::TooSlow { .. }), "{error:?}");
    }

    #[tokio::test]
    async fn a_missing_program_is_named() {
        let mut command = Command::new("no-such-program");
        let error = run(&mut command, SOON).await.unwrap_err();
        assert!(error.to_string().contains("no-such-program"), "{error}");
    }
}
