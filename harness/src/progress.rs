//! Says what takes long: a bar on a terminal, one line per step otherwise. Always on standard error.

use std::{
    io::{IsTerminal as _, Write as _},
    time::{Duration, Instant},
};

use indicatif::{HumanDuration, MultiProgress, ProgressBar, ProgressStyle};

/// Where progress goes. Cheap to clone; clones share the same terminal area.
#[derive(Debug, Clone)]
pub struct Progress {
    sink: Sink,
}

#[derive(Debug, Clone)]
enum Sink {
    Bars(MultiProgress),
    Lines,
    Silent,
}

impl Progress {
    /// Bars when standard error is a terminal and `CI` is unset, else one line per step.
    pub fn detect() -> Self {
        let sink = if std::io::stderr().is_terminal() && std::env::var_os("CI").is_none() {
            Sink::Bars(MultiProgress::new())
        } else {
            Sink::Lines
        };
        Self { sink }
    }

    /// One line per step, as in a log file.
    pub fn lines() -> Self {
        Self { sink: Sink::Lines }
    }

    /// Says nothing.
    pub fn silent() -> Self {
        Self { sink: Sink::Silent }
    }

    /// Starts a step of unknown length. `title` is a short fragment such as `building kubelet v1.34.2`.
    pub fn step(&self, title: impl Into<String>) -> Step {
        let title = title.into();
        let bar = match &self.sink {
            Sink::Bars(bars) => {
                let bar = bars.add(ProgressBar::new_spinner());
                bar.set_style(
                    ProgressStyle::with_template("{spinner} {msg} ({elapsed})")
                        .unwrap_or_else(|_| ProgressStyle::default_spinner()),
                );
                bar.set_message(title.clone());
                bar.enable_steady_tick(Duration::from_millis(120));
                Some(bar)
            }
            Sink::Lines => {
                line(&format!("{title} ..."));
                None
            }
            Sink::Silent => None,
        };
        Step {
            title,
            bar,
            started: Instant::now(),
            says_lines: matches!(self.sink, Sink::Lines),
            finished: false,
        }
    }

    /// One line that stays on the screen.
    pub fn note(&self, text: &str) {
        match &self.sink {
            Sink::Bars(bars) => {
                // A terminal that went away is no reason to fail.
                drop(bars.println(text));
            }
            Sink::Lines => line(text),
            Sink::Silent => {}
        }
    }
}

/// A step under way. Call [`Step::done`]; a step that is dropped counts as given up.
#[derive(Debug)]
#[must_use = "a step that is dropped counts as given up"]
pub struct Step {
    title: String,
    bar: Option<ProgressBar>,
    started: Instant,
    says_lines: bool,
    finished: bool,
}

impl Step {
    /// Adds detail to what is shown, such as what is waited for.
    pub fn detail(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.set_message(format!("{}: {text}", self.title)),
            None if self.says_lines => line(&format!("{}: {text}", self.title)),
            None => {}
        }
    }

    /// The step is finished.
    pub fn done(mut self) {
        self.finished = true;
        let elapsed = self.started.elapsed();
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        } else if self.says_lines {
            line(&format!(
                "{}: done in {:.1} s",
                self.title,
                elapsed.as_secs_f64()
            ));
        }
    }

    /// How long the step has taken.
    pub fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }
}

impl Drop for Step {
    fn drop(&mut self) {
        if self.finished {
            return;
        }
        let elapsed = HumanDuration(self.started.elapsed());
        if let Some(bar) = self.bar.take() {
            bar.abandon_with_message(format!("{}: given up after {elapsed}", self.title));
        } else if self.says_lines {
            line(&format!("{}: given up after {elapsed}", self.title));
        }
    }
}

/// Standard error may be closed; progress is never a reason to fail.
fn line(text: &str) {
    drop(writeln!(std::io::stderr(), "{text}"));
}
