//! What is logged where nobody asks for anything else.

/// Reports every request that fails, as an error, also those that are asked again until they succeed: while an API server
/// starts, that is most of them. What comes of it is told by whoever asked.
const NOISE: &str = "kube_client::client::builder=off";

/// The filter that was asked for, as it was written; else the `usual` one, without what others say of requests that are
/// expected to fail.
pub fn filter(asked: Option<&str>, usual: &str) -> String {
    match asked {
        Some(asked) => asked.to_owned(),
        None => format!("{usual},{NOISE}"),
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io,
        sync::{Arc, Mutex, PoisonError},
    };

    use rstest::rstest;
    use tracing_subscriber::EnvFilter;

    use super::*;

    /// What was written, for others to look at.
    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            lines.write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// What is logged of a request that fails and of something else.
    fn logged(filter: &str) -> String {
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_env_filter(EnvFilter::try_new(filter).unwrap())
            .with_writer(move || writer.clone())
            .finish();
        tracing::subscriber::with_default(subscriber, || {
            tracing::error!(target: "kube_client::client::builder", "failed with error");
            tracing::warn!(target: "kube_client::config", "something odd");
        });
        let written = lines.0.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8(written.clone()).unwrap()
    }

    #[rstest]
    #[case::nothing(None, false)]
    #[case::warnings(Some("warn"), true)]
    #[case::only_that(Some("kube_client::client::builder=error,kube_client=warn"), true)]
    fn failed_requests_are_told_only_to_who_asks(
        #[case] asked: Option<&str>,
        #[case] expected: bool,
    ) {
        let logged = logged(&filter(asked, "warn"));
        assert_eq!(logged.contains("failed with error"), expected, "{logged}");
        assert!(logged.contains("something odd"), "{logged}");
    }
}
