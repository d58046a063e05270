//! A run of tests in numbers, and where its page is.

use std::{io, path::PathBuf};

use serde::Serialize;
use vcluster_harness::timeline::{Published, Totals};

use crate::output::{Report, Styled, Tone};

/// `timeline`.
#[derive(Debug, Serialize)]
pub(crate) struct Timeline {
    /// The file to open in a browser.
    pub(crate) page: PathBuf,
    #[serde(flatten)]
    pub(crate) totals: Totals,
}

impl From<Published> for Timeline {
    fn from(published: Published) -> Self {
        Self {
            page: published.page,
            totals: published.totals,
        }
    }
}

impl Report for Timeline {
    fn write_human(&self, out: &mut Styled<'_>) -> io::Result<()> {
        let Totals {
            tests,
            failed,
            unfinished,
            from_pool,
            seconds,
            waited_seconds,
        } = self.totals;
        let rest = format!(
            "  in {seconds:.1} s, {from_pool} on a cluster from the pool; {waited_seconds:.1} s of waiting for room"
        );
        out.toned_line(Tone::Good, &format!("{tests} tests"), &rest)?;
        if failed + unfinished > 0 {
            let rest = format!(", {unfinished} did not end");
            out.toned_line(Tone::Bad, &format!("{failed} failed"), &rest)?;
        }
        out.line(&self.page.display().to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::tests::both;

    #[test]
    fn a_run_is_told_in_numbers() {
        insta::assert_snapshot!(both(&Timeline {
            page: "target/vcluster/r1/timeline.html".into(),
            totals: Totals {
                tests: 12,
                failed: 1,
                unfinished: 2,
                from_pool: 9,
                seconds: 61.25,
                waited_seconds: 4.0,
            },
        }));
    }
}
