//! Other programs: run one and wait, with an error that shows what was run and the end of what it said.

use std::{
    fmt::Write as _,
    fs::File,
    io,
    path::{Path, PathBuf},
    process::{Command, ExitStatus, Stdio},
};

/// How many lines of a failed program's output go into the error.
const TAIL: usize = 20;

/// A program that did not do its work.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum Error {
    /// The program is missing or may not be run.
    #[error("could not run `{command}`")]
    Start {
        /// The command line.
        command: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It ran and said no.
    #[error("`{command}` failed ({status}){tail}")]
    Failed {
        /// The command line.
        command: String,
        /// How it ended.
        status: ExitStatus,
        /// Its last lines, each indented on a line of its own; empty when they were shown already.
        tail: String,
    },
    /// Its log file could not be opened.
    #[error("could not open log file {}", path.display())]
    Log {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// Runs a program that shares our terminal.
pub(crate) fn run(command: &mut Command) -> Result<(), Error> {
    let status = command
        .stdin(Stdio::null())
        .status()
        .map_err(|source| start_error(command, source))?;
    check(command, status, "")
}

/// Runs a program whose output goes to the end of a file; the error shows the last lines.
pub(crate) fn run_logged(command: &mut Command, log: &Path) -> Result<(), Error> {
    let open = || -> io::Result<(File, File)> {
        let file = File::options().create(true).append(true).open(log)?;
        Ok((file.try_clone()?, file))
    };
    let (out, err) = open().map_err(|source| Error::Log {
        path: log.to_owned(),
        source,
    })?;
    let before = log.metadata().map_or(0, |file| file.len());
    let status = command
        .stdin(Stdio::null())
        .stdout(out)
        .stderr(err)
        .status()
        .map_err(|source| start_error(command, source))?;
    let said = said_since(log, before);
    check(command, status, &said)
}

/// Runs a program and gives back its standard output.
pub(crate) fn capture(command: &mut Command) -> Result<String, Error> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(|source| start_error(command, source))?;
    check(
        command,
        output.status,
        &String::from_utf8_lossy(&output.stderr),
    )?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// What a log file got since it had this length.
pub(crate) fn said_since(log: &Path, length: u64) -> String {
    let bytes = std::fs::read(log).unwrap_or_default();
    let start = usize::try_from(length).unwrap_or(0).min(bytes.len());
    String::from_utf8_lossy(&bytes[start..]).into_owned()
}

/// The last lines of a text, indented, each on a line of its own.
pub(crate) fn tail(text: &str) -> String {
    let lines: Vec<&str> = text
        .lines()
        .filter(|line| !line.trim().is_empty())
        .collect();
    lines[lines.len().saturating_sub(TAIL)..]
        .iter()
        .fold(String::new(), |mut tail, line| {
            write!(tail, "\n    {line}").expect("writing to a string cannot fail");
            tail
        })
}

/// The command line as one would type it.
pub(crate) fn shown(command: &Command) -> String {
    std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(|word| word.to_string_lossy())
        .collect::<Vec<_>>()
        .join(" ")
}

pub(crate) fn start_error(command: &Command, source: io::Error) -> Error {
    Error::Start {
        command: shown(command),
        source,
    }
}

fn check(command: &Command, status: ExitStatus, said: &str) -> Result<(), Error> {
    if status.success() {
        return Ok(());
    }
    Err(Error::Failed {
        command: shown(command),
        status,
        tail: tail(said),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn a_failure_shows_the_command_and_its_last_words() {
        let error = capture(&mut shell("echo disk full >&2; exit 3")).unwrap_err();
        let text = error.to_string();
        assert!(text.contains("sh -c"), "{text}");
        assert!(text.ends_with("\n    disk full"), "{text}");
    }

    #[test]
    fn a_missing_program_is_named() {
        let error = capture(&mut Command::new("no-such-program-here")).unwrap_err();
        assert_eq!(error.to_string(), "could not run `no-such-program-here`");
    }

    #[test]
    fn a_log_is_appended_to_and_only_the_new_part_is_shown() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("log");
        run_logged(&mut shell("echo first"), &log).unwrap();
        let error = run_logged(&mut shell("echo second; false"), &log).unwrap_err();
        assert_eq!(std::fs::read_to_string(&log).unwrap(), "first\nsecond\n");
        assert!(!error.to_string().contains("first"), "{error}");
        assert!(error.to_string().contains("second"), "{error}");
    }

    #[test]
    fn a_tail_is_short() {
        let long = "words\n".repeat(99) + "99";
        assert_eq!(tail(&long).lines().count(), TAIL + 1);
        assert!(tail(&long).ends_with("99"));
    }
}
