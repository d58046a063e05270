//! A node of a kind cluster: a container in which commands run and files lie.

use std::{net::IpAddr, pin::Pin, time::Duration};

use bollard::{
    container::LogOutput,
    exec::{CreateExecOptions, StartExecOptions, StartExecResults},
    models::ContainerState,
};
use futures::StreamExt as _;
use tokio::io::{AsyncRead, AsyncWriteExt as _};

use super::Error;
use crate::{deadline::Deadline, engine::Engine};

/// A container that is a Kubernetes node.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) engine: Engine,
    pub(crate) name: String,
    pub(crate) address: IpAddr,
    /// The one of the other family, where the engine gives such.
    pub(crate) second_address: Option<IpAddr>,
    /// When it was started, as the engine writes it. Another time is another life.
    pub(crate) started: String,
}

/// What a command reads.
pub(crate) type Input = Pin<Box<dyn AsyncRead + Send>>;

/// A command to run in a node.
pub(crate) struct Command {
    arguments: Vec<String>,
    input: Option<Input>,
    deadline: Deadline,
}

/// Limit of a command that should end at once.
const SHORT: Duration = Duration::from_secs(30);

impl Command {
    /// A command that should end at once.
    pub(crate) fn new<'a>(arguments: impl IntoIterator<Item = &'a str>) -> Self {
        Self {
            arguments: arguments.into_iter().map(str::to_owned).collect(),
            input: None,
            deadline: Deadline::after("command", SHORT),
        }
    }

    /// Gives it something to read.
    pub(crate) fn input(mut self, input: impl AsyncRead + Send + 'static) -> Self {
        self.input = Some(Box::pin(input));
        self
    }

    /// Lets it run until `deadline`.
    pub(crate) fn deadline(mut self, deadline: Deadline) -> Self {
        self.deadline = deadline;
        self
    }

    fn title(&self) -> String {
        const LIMIT: usize = 100;
        let text = self.arguments.join(" ");
        match text.char_indices().nth(LIMIT) {
            Some((end, _)) => format!("{} …", &text[..end]),
            None => text,
        }
    }
}

impl Node {
    /// Runs `command`; its standard output. Any exit code but 0 is an error with the output's end.
    pub(crate) async fn run(&self, mut command: Command) -> Result<Vec<u8>, Error> {
        let title = command.title();
        let deadline = command.deadline;
        let mut output = Output::default();
        let ended = tokio::time::timeout_at(
            deadline.instant(),
            self.exec(command.arguments, command.input.take(), &mut output),
        )
        .await;
        match ended {
            Ok(Ok(0)) => Ok(output.standard),
            Ok(Ok(code)) => Err(Error::Command {
                node: self.name.clone(),
                command: title,
                code,
                output: output.text(),
            }),
            Ok(Err(source)) => Err(self.explain("run a command in", source).await),
            Err(_) => Err(Error::CommandTimeout {
                node: self.name.clone(),
                command: title,
                waited: deadline.limit(),
                output: output.text(),
            }),
        }
    }

    async fn exec(
        &self,
        arguments: Vec<String>,
        input: Option<Input>,
        output: &mut Output,
    ) -> Result<i64, bollard::errors::Error> {
        let docker = self.engine.docker();
        let options = CreateExecOptions {
            attach_stdin: Some(input.is_some()),
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            cmd: Some(arguments),
            privileged: Some(true),
            ..CreateExecOptions::default()
        };
        let id = docker.create_exec(&self.name, options).await?.id;
        let start = StartExecOptions {
            output_capacity: Some(64 * 1024),
            ..StartExecOptions::default()
        };
        let StartExecResults::Attached {
            output: mut stream,
            input: mut writer,
        } = docker.start_exec(&id, Some(start)).await?
        else {
            return Ok(0);
        };
        let feed = async {
            if let Some(mut input) = input {
                // A command that ends early closes its input; its exit code tells the rest.
                if let Err(error) = tokio::io::copy(&mut input, &mut writer).await {
                    tracing::debug!(%error, "a command did not read all of its input");
                }
                drop(writer.shutdown().await);
            }
        };
        let collect = async {
            while let Some(part) = stream.next().await {
                output.take(part?);
            }
            Ok::<_, bollard::errors::Error>(())
        };
        // Both end by themselves: the output when the command ends, the input when it is read or refused.
        let ((), collected) = tokio::join!(feed, collect);
        collected?;
        let state = docker.inspect_exec(&id).await?;
        Ok(state.exit_code.unwrap_or_default())
    }

    /// Finds out whether a failed request means that the container is gone, stopped or started again.
    async fn explain(&self, step: &'static str, source: bollard::errors::Error) -> Error {
        match self.check().await {
            Err(
                error @ (Error::Gone { .. } | Error::NotRunning { .. } | Error::Restarted { .. }),
            ) => error,
            _ => Error::engine(step, self.name.clone())(source),
        }
    }

    /// Is the container there and running, and has it been so all the time?
    pub(crate) async fn check(&self) -> Result<(), Error> {
        let inspected = self
            .engine
            .docker()
            .inspect_container(&self.name, None)
            .await;
        let state = match inspected {
            Ok(container) => container.state.unwrap_or_default(),
            Err(error) if is_not_found(&error) => {
                return Err(Error::Gone {
                    container: self.name.clone(),
                });
            }
            Err(source) => return Err(Error::engine("inspect", self.name.clone())(source)),
        };
        judge(&self.name, &self.started, state)
    }
}

/// What the state of a container means to who has known it since this start.
fn judge(container: &str, known: &str, state: ContainerState) -> Result<(), Error> {
    let container = container.to_owned();
    // What is paused counts as running there.
    if state.running != Some(true) || state.paused == Some(true) {
        return Err(Error::NotRunning {
            container,
            state: state
                .status
                .map_or_else(|| "state unknown".to_owned(), |status| status.to_string()),
        });
    }
    match state.started_at {
        Some(started) if started != known => Err(Error::Restarted { container, started }),
        _ => Ok(()),
    }
}

/// Does the engine say that there is no such thing?
pub(crate) fn is_not_found(error: &bollard::errors::Error) -> bool {
    matches!(
        error,
        bollard::errors::Error::DockerResponseServerError {
            status_code: 404,
            ..
        }
    )
}

/// What a command wrote: everything it wrote to standard output, and both streams for people.
#[derive(Default)]
struct Output {
    standard: Vec<u8>,
    errors: Vec<u8>,
}

impl Output {
    fn take(&mut self, part: LogOutput) {
        match part {
            LogOutput::StdErr { message } => self.errors.extend_from_slice(&message),
            LogOutput::StdOut { message } | LogOutput::Console { message } => {
                self.standard.extend_from_slice(&message);
            }
            LogOutput::StdIn { .. } => {}
        }
    }

    fn text(&self) -> String {
        format!(
            "{}\n{}",
            String::from_utf8_lossy(&self.standard),
            String::from_utf8_lossy(&self.errors)
        )
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::{Value, json};

    use super::*;

    const KNOWN: &str = "2026-01-02T03:04:05.6Z";
    const LATER: &str = "2026-01-02T03:09:05.6Z";

    #[rstest]
    #[case::as_it_was(json!({"Running": true, "StartedAt": KNOWN}), None)]
    #[case::stopped(json!({"Running": false, "Status": "exited", "StartedAt": KNOWN}), Some("is not running (exited)"))]
    #[case::paused(json!({"Running": true, "Paused": true, "Status": "paused"}), Some("is not running (paused)"))]
    #[case::of_another_life(json!({"Running": true, "StartedAt": LATER}), Some("was started again at 2026-01-02T03:09:05.6Z"))]
    fn a_container_is_what_it_was_or_it_is_told(
        #[case] state: Value,
        #[case] expected: Option<&str>,
    ) {
        let state = serde_json::from_value(state).unwrap();
        let judged = judge("web-control-plane", KNOWN, state).map_err(|error| error.to_string());
        match (judged, expected) {
            (Ok(()), None) => {}
            (Err(told), Some(words)) => assert!(told.contains(words), "{told}"),
            (judged, _) => panic!("{judged:?}"),
        }
    }
}
