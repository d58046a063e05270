//! What a test may return, and whether that is a failure.

use std::{
    fmt::Debug,
    process::{ExitCode, Termination},
};

/// A type that a test may return. It is given back as it is; only whether it is a failure is looked at.
#[diagnostic::on_unimplemented(
    message = "a test cannot return `{Self}`",
    label = "not a test's outcome",
    note = "return nothing, or a `Result<(), E>` whose error is `Debug`, such as `anyhow::Result<()>`"
)]
pub trait Outcome: Termination + Sized {
    /// The failure it stands for.
    fn failure(&self) -> Option<String>;

    /// The outcome of a test that has nothing to complain of.
    fn passed() -> Self;
}

impl Outcome for () {
    fn failure(&self) -> Option<String> {
        None
    }

    fn passed() -> Self {}
}

impl Outcome for ExitCode {
    fn failure(&self) -> Option<String> {
        (*self != ExitCode::SUCCESS).then(|| "the test returned an exit code of failure".to_owned())
    }

    fn passed() -> Self {
        Self::SUCCESS
    }
}

impl<T: Outcome, E: Debug> Outcome for Result<T, E> {
    fn failure(&self) -> Option<String> {
        match self {
            Ok(value) => value.failure(),
            Err(error) => {
                let text = format!("{error:?}");
                let text = without_backtrace(&text);
                Some(format!("the test returned an error: {text}"))
            }
        }
    }

    fn passed() -> Self {
        Ok(T::passed())
    }
}

/// libtest prints the whole error. Here its cause is looked for, and the names of functions in a
/// backtrace would be taken for one.
fn without_backtrace(text: &str) -> &str {
    let is_backtrace = |line: &str| line.eq_ignore_ascii_case("stack backtrace:");
    let mut end = 0;
    for line in text.split_inclusive('\n') {
        if is_backtrace(line.trim()) {
            return text[..end].trim_end();
        }
        end += line.len();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_errors_and_bad_exit_codes_are_failures() {
        assert_eq!(().failure(), None);
        assert_eq!(Ok::<_, String>(()).failure(), None);
        assert_eq!(Ok::<_, String>(ExitCode::SUCCESS).failure(), None);
        assert!(Ok::<_, String>(ExitCode::FAILURE).failure().is_some());
    }

    #[test]
    fn a_backtrace_is_no_part_of_a_failure() {
        struct Traced;

        impl Debug for Traced {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("could not start\n\nCaused by:\n    port taken\n\n")?;
                f.write_str("Stack backtrace:\n   0: std::backtrace::create\n   1: cgroup::mount")
            }
        }

        let failure = Err::<(), _>(Traced).failure().unwrap();
        assert_eq!(
            failure,
            "the test returned an error: could not start\n\nCaused by:\n    port taken"
        );
    }

    #[test]
    fn the_chain_of_an_error_is_kept() {
        let error = anyhow::anyhow!("port taken").context("could not start");
        let failure = Err::<(), _>(error).failure().unwrap();
        assert!(
            failure.contains("could not start") && failure.contains("port taken"),
            "{failure}"
        );
    }
}
