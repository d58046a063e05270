//! What is said when a test fails. The chain of an error is printed here, once.

use std::{any::Any, error::Error};

use super::{backend::Explanation, spec::TestInfo};

/// The cause of a failure, the bundle and what became of the clusters.
pub(super) fn failure(test: &TestInfo, explanation: &Explanation, notes: &[String]) -> String {
    let mut report = format!("vcluster: {} failed", test.path);
    for line in explanation.summary.lines() {
        push(&mut report, line);
    }
    for bundle in &explanation.bundles {
        push(
            &mut report,
            &format!("everything collected: {}", bundle.display()),
        );
    }
    for note in notes {
        push(&mut report, note);
    }
    report
}

fn push(text: &mut String, line: &str) {
    text.push_str("\n  ");
    text.push_str(line);
}

/// An error and its causes, one per line.
pub(super) fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        push(&mut text, &format!("because: {cause}"));
        source = cause.source();
    }
    text
}

/// What a panic said.
pub(super) fn panic_text(payload: &(dyn Any + Send)) -> &str {
    payload
        .downcast_ref::<&'static str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("a panic without a text")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::spec::TestSpec;

    #[test]
    fn all_that_is_known_is_said() {
        let test = TestInfo::new(TestSpec::new("e2e", "works"));
        let explanation = Explanation {
            summary: "pod default/web is pending\nimage x is missing".to_owned(),
            bundles: vec!["target/vcluster/works".into()],
        };
        let notes = ["cluster vc-1 is kept".to_owned()];
        insta::assert_snapshot!(failure(&test, &explanation, &notes), @r"
        vcluster: works failed
          pod default/web is pending
          image x is missing
          everything collected: target/vcluster/works
          cluster vc-1 is kept
        ");
    }

    #[test]
    fn every_cause_has_a_line() {
        let error = anyhow::anyhow!("connection refused")
            .context("could not list pods")
            .context("could not start");
        let error: Box<dyn Error + Send + Sync> = error.into();
        insta::assert_snapshot!(chain(&*error), @r"
        could not start
          because: could not list pods
          because: connection refused
        ");
    }

    #[test]
    fn a_panic_is_quoted_when_it_has_a_text() {
        assert_eq!(panic_text(&"boom"), "boom");
        assert_eq!(panic_text(&"boom".to_owned()), "boom");
        assert_eq!(panic_text(&7), "a panic without a text");
    }
}
