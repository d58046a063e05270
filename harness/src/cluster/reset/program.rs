//! Runs the program for the store where the store is: in the control plane's pod, through the host's API.
//! So no port is open for it, and who may use it is a question of the host's rights.

use k8s_openapi::api::core::v1::Pod;
use kube::{Api, Client, api::AttachParams};
use tracing::debug;
use vcluster_syncer::reset::{Report, Step};

use super::{ResetError, StateFile, process::Process};
use crate::{cluster::names::Names, deadline::Deadline};

const CONTAINER: &str = "syncer";
const PROGRAM: &str = "/usr/local/bin/vcluster-syncer";
const SAVE: &str = "save";
const PUT_BACK: &str = "put-back";

/// The program in one cluster's pod.
#[derive(Debug)]
pub(super) struct Program {
    pods: Api<Pod>,
    pod: String,
    file: StateFile,
}

/// The program that puts a store back, while it runs.
pub(super) struct PutBack<'a> {
    program: &'a Program,
    process: Process,
}

impl Program {
    pub(super) fn new(host: Client, names: &Names, file: StateFile) -> Self {
        Self {
            pods: Api::namespaced(host, names.namespace()),
            pod: names.pod(),
            file,
        }
    }

    /// Saves the state.
    pub(super) async fn save(&self, deadline: Deadline) -> Result<Report, ResetError> {
        let mut process = self.start(SAVE, deadline).await?;
        self.report(&mut process, SAVE, deadline).await
    }

    /// Takes the first step, with a program that stayed since the last reset if there is one.
    pub(super) async fn reset(
        &self,
        stayed: Option<Process>,
        deadline: Deadline,
    ) -> Result<(PutBack<'_>, Report), ResetError> {
        if let Some(process) = stayed {
            match self.begin(process, deadline).await {
                // It may have ended meanwhile, with its connection or its host.
                Err(ResetError::Failed { message, .. }) => {
                    debug!(pod = self.pod, message, "the program did not stay");
                }
                begun => return begun,
            }
        }
        self.begin(self.start(PUT_BACK, deadline).await?, deadline)
            .await
    }

    async fn begin(
        &self,
        process: Process,
        deadline: Deadline,
    ) -> Result<(PutBack<'_>, Report), ResetError> {
        let mut begun = PutBack {
            program: self,
            process,
        };
        let report = begun.step(Step::Reset, deadline).await?;
        Ok((begun, report))
    }

    async fn start(
        &self,
        command: &'static str,
        deadline: Deadline,
    ) -> Result<Process, ResetError> {
        // The program gives up first, since it can say why.
        let seconds = deadline.remaining().as_secs().saturating_sub(2).max(1);
        let seconds = seconds.to_string();
        let limit = ["--seconds", &seconds];
        let line = [PROGRAM, "store", command, "--state", self.file.path()];
        let conditions = self.file.conditions().iter().copied();
        let line = line.into_iter().chain(limit).chain(conditions);
        let parameters = AttachParams::default().container(CONTAINER).stdin(true);
        let started = self.pods.exec(&self.pod, line, &parameters);
        let attached = tokio::time::timeout_at(deadline.instant(), started)
            .await
            .map_err(|_| self.silent(command, deadline))?
            .map_err(|source| ResetError::Run {
                command,
                pod: self.pod.clone(),
                source,
            })?;
        Ok(Process::attached(attached))
    }

    async fn report(
        &self,
        process: &mut Process,
        command: &'static str,
        deadline: Deadline,
    ) -> Result<Report, ResetError> {
        let answer = tokio::time::timeout_at(deadline.instant(), process.answer()).await;
        let answer = answer.map_err(|_| self.silent(command, deadline))?;
        let failed = |message| ResetError::Failed {
            command,
            pod: self.pod.clone(),
            message,
        };
        let line = answer.map_err(failed)?;
        let report: Report = serde_json::from_str(&line).map_err(|_| failed(line))?;
        if report.differences.is_empty() {
            Ok(report)
        } else {
            Err(ResetError::Differs {
                keys: report.differences,
            })
        }
    }

    fn silent(&self, command: &'static str, deadline: Deadline) -> ResetError {
        ResetError::Silent {
            command,
            pod: self.pod.clone(),
            limit: deadline.limit(),
        }
    }
}

impl PutBack<'_> {
    /// The program, which waits for the next reset.
    pub(super) fn stay(self) -> Process {
        self.process
    }

    /// Takes a step.
    pub(super) async fn step(
        &mut self,
        step: Step,
        deadline: Deadline,
    ) -> Result<Report, ResetError> {
        self.process.tell(step.name()).await;
        self.program
            .report(&mut self.process, step.name(), deadline)
            .await
    }
}
