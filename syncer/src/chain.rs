//! An error with all its causes, for the log.

use std::{error::Error, fmt};

/// Prints an error and its causes, a colon between them.
pub(crate) struct Chain<'a>(pub(crate) &'a (dyn Error + 'static));

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut last = text_of(self.0);
        f.write_str(&last)?;
        let mut source = self.0.source();
        while let Some(error) = source {
            let text = text_of(error);
            // Some libraries repeat the cause in their own text.
            if !last.contains(&text) {
                write!(f, ": {text}")?;
                last = text;
            }
            source = error.source();
        }
        Ok(())
    }
}

/// The client prints the whole of a server's answer; its message says it all.
fn text_of(error: &(dyn Error + 'static)) -> String {
    match error.downcast_ref::<kube::Error>() {
        Some(kube::Error::Api(status)) if !status.message.is_empty() => status.message.clone(),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{text}")]
    struct Step {
        text: &'static str,
        source: Option<Box<Step>>,
    }

    #[test]
    fn causes_follow_and_are_not_repeated() {
        let cause = |text, source: Option<Step>| Step {
            text,
            source: source.map(Box::new),
        };
        let error = cause(
            "could not apply",
            Some(cause("server said: no", Some(cause("no", None)))),
        );
        assert_eq!(
            Chain(&error).to_string(),
            "could not apply: server said: no"
        );
    }
}
