//! What `doctor` found.

use std::io;

use serde::Serialize;

use crate::output::{Report, Styled, Tone};

/// All checks.
#[derive(Debug, Serialize)]
pub(crate) struct Doctor {
    /// Did no check fail?
    pub(crate) ok: bool,
    pub(crate) checks: Vec<Check>,
}

/// One thing that was looked at.
#[derive(Debug, Serialize)]
pub(crate) struct Check {
    /// A stable name, such as `engine`.
    pub(crate) name: String,
    pub(crate) status: Status,
    /// What was found.
    pub(crate) found: String,
    /// What to do about it, where there is something to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) fix: Option<String>,
}

/// How a check went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Status {
    Good,
    /// It works, until something grows.
    Warning,
    Failed,
}

impl Doctor {
    /// A report of these checks.
    pub(crate) fn new(checks: Vec<Check>) -> Self {
        Self {
            ok: checks.iter().all(|check| check.status != Status::Failed),
            checks,
        }
    }
}

impl Report for Doctor {
    fn write_human(&self, out: &mut Styled<'_>) -> io::Result<()> {
        let width = self
            .checks
            .iter()
            .map(|check| check.name.len())
            .max()
            .unwrap_or(0);
        for check in &self.checks {
            let (tone, word) = match check.status {
                Status::Good => (Tone::Good, "good   "),
                Status::Warning => (Tone::Odd, "warning"),
                Status::Failed => (Tone::Bad, "FAILED "),
            };
            out.toned_line(
                tone,
                word,
                &format!("  {:width$}  {}", check.name, check.found),
            )?;
            if let Some(fix) = &check.fix {
                out.line(&format!("         {:width$}  → {fix}", ""))?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::tests::both;

    fn check(name: &str, status: Status, found: &str, fix: Option<&str>) -> Check {
        Check {
            name: name.to_owned(),
            status,
            found: found.to_owned(),
            fix: fix.map(str::to_owned),
        }
    }

    #[test]
    fn a_failed_check_says_what_to_do() {
        let report = Doctor::new(vec![
            check("engine", Status::Good, "Docker 26.1.5", None),
            check(
                "inotify",
                Status::Warning,
                "128 instances",
                Some("sysctl -w fs.inotify.max_user_instances=512"),
            ),
            check(
                "disk",
                Status::Failed,
                "1 GB free",
                Some("free at least 10 GB"),
            ),
        ]);
        insta::assert_snapshot!(both(&report));
    }

    #[test]
    fn a_warning_is_no_failure() {
        assert!(Doctor::new(vec![check("inotify", Status::Warning, "", None)]).ok);
        assert!(!Doctor::new(vec![check("disk", Status::Failed, "", None)]).ok);
    }
}
