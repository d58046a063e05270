//! What happened, one line each with the time it took, for somebody who has never seen this.

use std::{
    fmt,
    io::Write as _,
    time::{Duration, Instant},
};

/// A story told on standard output while it happens.
#[derive(Debug)]
pub(crate) struct Story {
    started: Instant,
    last: Instant,
}

impl Story {
    /// It begins now.
    pub(crate) fn begin() -> Self {
        let started = Instant::now();
        Self {
            started,
            last: started,
        }
    }

    /// Something has happened; it took the time since the line before.
    pub(crate) fn tell(&mut self, what: &str) {
        let took = self.last.elapsed();
        self.last = Instant::now();
        say(&Line { took, what });
    }

    /// The end.
    pub(crate) fn end(self, what: &str) {
        say(&Line {
            took: self.started.elapsed(),
            what,
        });
    }
}

struct Line<'a> {
    took: Duration,
    what: &'a str,
}

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.took.as_secs();
        if seconds >= 120 {
            write!(f, "{:>4} min  {}", seconds / 60, self.what)
        } else {
            write!(f, "{:>6.1} s  {}", self.took.as_secs_f64(), self.what)
        }
    }
}

/// Standard output may be closed; that is no reason to fail.
fn say(line: &Line<'_>) {
    drop(writeln!(std::io::stdout(), "{line}"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_stand_in_a_column() {
        let line = |seconds, what| {
            let took = Duration::from_millis(seconds);
            Line { took, what }.to_string()
        };
        assert_eq!(line(4_210, "ready"), "   4.2 s  ready");
        assert_eq!(line(1_500_000, "built"), "  25 min  built");
    }
}
