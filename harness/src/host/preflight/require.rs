//! A look at the machine before a host is made: what would fail in minutes is told at once.

use super::{Facts, Severity, check};
use crate::{engine::Engine, host::Error, progress::Progress};

/// Refuses a machine that cannot run a host, and tells of what may become one's trouble.
///
/// # Errors
/// It cannot, or the engine does not answer.
pub(in crate::host) async fn require(
    engine: &Engine,
    host: &str,
    progress: &Progress,
) -> Result<(), Error> {
    let findings = check(&Facts::gather(engine).await?).into_iter();
    let (faults, others): (Vec<_>, Vec<_>) =
        findings.partition(|finding| finding.severity == Severity::Fault);
    if !faults.is_empty() {
        let host = host.to_owned();
        return Err(Error::Unfit { host, faults });
    }
    let warnings = others.iter();
    for warning in warnings.filter(|finding| finding.severity == Severity::Warning) {
        progress.note(&format!("host {host}: {warning}"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        engine::fake::{self, Answer},
        host::kind::{self, KindOptions},
    };

    #[tokio::test]
    async fn a_machine_that_cannot_run_a_host_is_told_before_anything_is_made() {
        let directory = tempfile::tempdir().unwrap();
        let address = fake::start(directory.path(), |path| {
            let known = [
                ("/version", r#"{"ApiVersion":"1.45"}"#),
                ("/info", r#"{"MemTotal": 1073741824, "NCPU": 1}"#),
                ("/networks", "[]"),
                ("/containers/json", "[]"),
            ];
            match known.iter().find(|(end, _)| path.ends_with(end)) {
                Some((_, text)) => Answer::Says(200, text),
                None => panic!("{path} is asked of the engine"),
            }
        });
        let environment = [("DOCKER_HOST", address.as_str())];
        let engine = Engine::connect_with(&environment).await.unwrap();
        let options = KindOptions {
            name: "web".to_owned(),
            image: "kindest/node:v1.34.2".to_owned(),
            ..KindOptions::default()
        };
        let made = kind::create(&engine, &options, &Progress::silent()).await;
        let error = made.unwrap_err();
        assert!(matches!(error, Error::Unfit { .. }), "{error:?}");
        assert_eq!(
            error.to_string(),
            "host web cannot run on this machine:\n  memory: 1.0 GB for the engine, 1 cores; \
             give the engine (or its virtual machine) at least 4 GB"
        );
    }
}
