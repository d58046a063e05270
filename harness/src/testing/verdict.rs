//! How a test ended, and how libtest is told.

use std::{any::Any, error::Error, panic};

use super::{
    backend::Explanation,
    clean_up::CleanedUp,
    outcome::Outcome,
    report,
    spec::{TestInfo, TestSpec},
};

/// How the body ended, or why it did not begin.
pub(super) enum Ended<R> {
    /// Its clusters or arguments could not be made.
    NotSetUp(Trouble),
    /// It came to its end.
    Returned(R),
    /// It panicked, with this.
    Panicked(Box<dyn Any + Send>),
    /// It was still running at its limit.
    TimedOut,
}

/// Why a body did not begin.
#[derive(Debug, Default)]
pub(super) struct Trouble {
    /// The error with its causes.
    pub(super) text: String,
    /// What is known about it already.
    pub(super) explanation: Explanation,
}

impl Trouble {
    /// Has somebody looked for its cause already?
    pub(super) fn is_explained(&self) -> bool {
        self.explanation != Explanation::default()
    }
}

impl From<String> for Trouble {
    fn from(text: String) -> Self {
        Self {
            text,
            explanation: Explanation::default(),
        }
    }
}

/// Everything that is known when a test is over.
pub(super) struct Verdict<R> {
    pub(super) ended: Ended<R>,
    /// Why the test failed; `None` when it did what it should.
    pub(super) failure: Option<String>,
    pub(super) explanation: Explanation,
    pub(super) cleaned: CleanedUp,
}

impl<R: Outcome> Ended<R> {
    /// What was under way.
    pub(super) fn step(&self) -> &'static str {
        match self {
            Self::NotSetUp(_) => "set-up",
            Self::Returned(_) | Self::Panicked(_) | Self::TimedOut => "test",
        }
    }

    /// Why this is not what the test should do.
    pub(super) fn failure(&self, spec: &TestSpec) -> Option<String> {
        match (self, spec.should_panic) {
            (Self::NotSetUp(trouble), _) => {
                Some(format!("vcluster set-up failed: {}", trouble.text))
            }
            (Self::TimedOut, _) => Some(format!(
                "the test was still running after {}, its timeout",
                humantime::format_duration(spec.timeout)
            )),
            (Self::Returned(_), Some(_)) => Some("the test did not panic".to_owned()),
            (Self::Returned(value), None) => value.failure(),
            (Self::Panicked(payload), Some(expected)) => {
                let text = report::panic_text(&**payload);
                (!text.contains(expected)).then(|| format!("the test panicked with: {text}"))
            }
            (Self::Panicked(payload), None) => Some(format!(
                "the test panicked: {}",
                report::panic_text(&**payload)
            )),
        }
    }
}

impl<R: Outcome> Verdict<R> {
    /// Nothing was begun.
    pub(super) fn not_set_up(spec: &TestSpec, error: &(dyn Error + Send + Sync + 'static)) -> Self {
        let ended = Ended::NotSetUp(Trouble::from(report::chain(error)));
        Self {
            failure: ended.failure(spec),
            ended,
            explanation: Explanation::default(),
            cleaned: CleanedUp::default(),
        }
    }

    /// Ends the test as libtest understands it: with its value, its panic, or ours.
    #[track_caller]
    pub(super) fn deliver(self, test: &TestInfo, is_strict: bool) -> R {
        let left = self.cleaned.errors.join("; ");
        let mut notes = self.cleaned.kept;
        if !left.is_empty() {
            notes.push(format!("vcluster clean-up failed: {left}"));
        }
        match (self.failure, self.ended) {
            (Some(failure), Ended::NotSetUp(_) | Ended::TimedOut) => {
                let report = report::failure(test, &self.explanation, &notes);
                fail(test, &format!("{failure}\n{report}"))
            }
            (Some(_), ended) => {
                say(&report::failure(test, &self.explanation, &notes));
                resume(ended)
            }
            (None, _) if is_strict && !left.is_empty() => {
                fail(test, &format!("vcluster clean-up failed: {left}"))
            }
            (None, ended) => {
                for note in notes {
                    say(&format!("vcluster: {note}"));
                }
                resume(ended)
            }
        }
    }
}

/// The value or the panic of the body, untouched.
#[track_caller]
fn resume<R>(ended: Ended<R>) -> R {
    match ended {
        Ended::Returned(value) => value,
        Ended::Panicked(payload) => panic::resume_unwind(payload),
        Ended::NotSetUp(trouble) => panic!("{}", trouble.text),
        Ended::TimedOut => panic!("the test was still running at its timeout"),
    }
}

/// Fails a test for a reason that is not its own panic. One that is to panic fails by not panicking:
/// our panic would be taken for the one that was wanted.
#[track_caller]
fn fail<R: Outcome>(test: &TestInfo, message: &str) -> R {
    let wants_panic = test.spec.should_panic.is_some();
    assert!(wants_panic, "{message}");
    say(message);
    R::passed()
}

#[expect(
    clippy::print_stderr,
    reason = "libtest captures only what the macro prints, and shows it with the failure"
)]
fn say(text: &str) {
    eprintln!("{text}");
}
