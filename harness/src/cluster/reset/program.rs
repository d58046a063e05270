//! Runs the program for the store where the store is: in the control plane's pod, through the host's API.
//! So no port is open for it, and who may use it is a question of the host's rights.

use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, Client,
    api::{AttachParams, AttachedProcess},
};
use tokio::io::{AsyncRead, AsyncReadExt as _};
use vcluster_syncer::reset::Report;

use super::{ResetError, StateFile};
use crate::{cluster::names::Names, deadline::Deadline};

const CONTAINER: &str = "syncer";
const PROGRAM: &str = "/usr/local/bin/vcluster-syncer";

/// The program in one cluster's pod.
#[derive(Debug)]
pub(super) struct Program {
    pods: Api<Pod>,
    pod: String,
    file: StateFile,
}

/// What the program said.
struct Said {
    output: String,
    errors: String,
}

impl Program {
    pub(super) fn new(host: Client, names: &Names, file: StateFile) -> Self {
        Self {
            pods: Api::namespaced(host, names.namespace()),
            pod: names.pod(),
            file,
        }
    }

    /// Runs one of its commands to the end.
    pub(super) async fn run(
        &self,
        command: &'static str,
        deadline: Deadline,
    ) -> Result<Report, ResetError> {
        // The program gives up first, since it can say why.
        let seconds = deadline.remaining().as_secs().saturating_sub(2).max(1);
        let seconds = seconds.to_string();
        let limit = ["--seconds", &seconds];
        let line = [PROGRAM, "store", command, "--state", self.file.path()];
        let line = line.into_iter().chain(limit);
        let parameters = AttachParams::default().container(CONTAINER);
        let started = self.pods.exec(&self.pod, line, &parameters);
        let ended = tokio::time::timeout_at(deadline.instant(), async {
            let process = started.await.map_err(|source| ResetError::Run {
                command,
                pod: self.pod.clone(),
                source,
            })?;
            Ok(listen(process).await)
        });
        let said = ended.await.unwrap_or_else(|_| {
            Err(ResetError::Silent {
                command,
                pod: self.pod.clone(),
                limit: deadline.limit(),
            })
        })?;
        let report: Report =
            serde_json::from_str(&said.output).map_err(|_| ResetError::Failed {
                command,
                pod: self.pod.clone(),
                message: said.reason(),
            })?;
        if report.differences.is_empty() {
            Ok(report)
        } else {
            Err(ResetError::Differs {
                keys: report.differences,
            })
        }
    }
}

impl Said {
    /// A program that ends well says a report; one that does not says why in its last line.
    fn reason(&self) -> String {
        let last = |text: &str| text.trim().lines().next_back().map(str::to_owned);
        last(&self.errors)
            .or_else(|| last(&self.output))
            .unwrap_or_else(|| "it said nothing".to_owned())
    }
}

async fn listen(mut process: AttachedProcess) -> Said {
    let (output, errors) = (process.stdout(), process.stderr());
    let (output, errors) = tokio::join!(text(output), text(errors));
    Said { output, errors }
}

/// What there is until the stream ends or breaks; a report that is cut off is none.
async fn text(stream: Option<impl AsyncRead + Unpin>) -> String {
    let mut bytes = Vec::new();
    if let Some(mut stream) = stream
        && let Err(error) = stream.read_to_end(&mut bytes).await
    {
        tracing::debug!(%error, "the program's words are cut off");
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reason_is_the_last_line_that_was_said() {
        let said = |output: &str, errors: &str| Said {
            output: output.to_owned(),
            errors: errors.to_owned(),
        };
        assert_eq!(said("", "INFO a\nERROR b\n").reason(), "ERROR b");
        assert_eq!(said("half", "").reason(), "half");
        assert_eq!(said("", "").reason(), "it said nothing");
    }
}
