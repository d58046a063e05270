//! What a user reads when a test fails.

use std::{fmt, time::Duration};

use super::cause::Cause;

/// What went wrong, as far as the code that noticed it knows.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Failure {
    /// The test.
    pub test: String,
    /// The step, such as `control plane` or `test`.
    pub step: String,
    /// How long it took until it was given up.
    pub elapsed: Option<Duration>,
    /// What was last seen of what was awaited.
    pub last_seen: Option<String>,
    /// The error with its causes, or the panic.
    pub error: String,
}

/// A failure explained.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Report {
    /// What went wrong.
    pub failure: Failure,
    /// Why, most likely first.
    pub causes: Vec<Cause>,
    /// The last events on both sides.
    pub events: Vec<String>,
    /// What could not be found out, and why.
    pub missing: Vec<String>,
    /// How to look at the cluster, if it is kept.
    pub connect: Option<String>,
}

/// How many causes are told; all are in the bundle's summary.
const TOLD_CAUSES: usize = 3;

impl Report {
    /// The likely causes in a few lines: what to print beside the failure itself. Empty when nothing
    /// odd was seen.
    pub fn explanation(&self) -> String {
        let mut lines = Vec::new();
        for cause in self.causes.iter().take(TOLD_CAUSES) {
            lines.push(format!("why: {}", cause.line));
            lines.extend(cause.details.iter().map(|detail| format!("     {detail}")));
            lines.extend(cause.advice.iter().map(|advice| format!("do:  {advice}")));
        }
        if !self.events.is_empty() {
            lines.push("last events:".to_owned());
            lines.extend(self.events.iter().map(|event| format!("     {event}")));
        }
        lines.join("\n")
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} failed in step `{}`", self.test, self.step)?;
        if let Some(elapsed) = self.elapsed {
            write!(f, " after {:.1} s", elapsed.as_secs_f64())?;
        }
        for line in self.error.lines() {
            write!(f, "\n  {line}")?;
        }
        if let Some(last_seen) = &self.last_seen {
            write!(f, "\n  last seen: {last_seen}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.failure)?;
        for cause in &self.causes {
            write!(f, "\n\nwhy: {}", cause.line)?;
            for detail in &cause.details {
                write!(f, "\n     {detail}")?;
            }
            if let Some(advice) = &cause.advice {
                write!(f, "\ndo:  {advice}")?;
            }
        }
        if self.causes.is_empty() {
            write!(f, "\n\nwhy: nothing odd was seen in the cluster")?;
        }
        if !self.events.is_empty() {
            write!(f, "\n\nlast events:")?;
            for event in &self.events {
                write!(f, "\n     {event}")?;
            }
        }
        if !self.missing.is_empty() {
            write!(f, "\n\nnot found out:")?;
            for missing in &self.missing {
                write!(f, "\n     {missing}")?;
            }
        }
        if let Some(connect) = &self.connect {
            write!(f, "\n\nconnect: {connect}")?;
        }
        writeln!(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_says_step_time_last_sight_cause_and_what_to_do() {
        let report = Report {
            failure: Failure {
                test: "web::answers".to_owned(),
                step: "control plane".to_owned(),
                elapsed: Some(Duration::from_millis(61_240)),
                last_seen: Some("phase Pending".to_owned()),
                error: "could not start vc-1\nbecause: not ready".to_owned(),
            },
            causes: vec![Cause {
                line: "image a:1 of container etcd is missing".to_owned(),
                details: vec!["it is not on the host".to_owned()],
                advice: Some("fetch it".to_owned()),
            }],
            events: vec!["03:04:05 Warning Failed pod/vc-1-0: no image".to_owned()],
            missing: vec!["logs: no answer".to_owned()],
            connect: Some("cargo vcluster connect vc-1".to_owned()),
        };
        insta::assert_snapshot!(report, @r"
        web::answers failed in step `control plane` after 61.2 s
          could not start vc-1
          because: not ready
          last seen: phase Pending

        why: image a:1 of container etcd is missing
             it is not on the host
        do:  fetch it

        last events:
             03:04:05 Warning Failed pod/vc-1-0: no image

        not found out:
             logs: no answer

        connect: cargo vcluster connect vc-1
        ");
    }
}
