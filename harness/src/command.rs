//! Commands in running pods.

use k8s_openapi::{api::core::v1::Pod, apimachinery::pkg::apis::meta::v1::Status};
use kube::{Api, api::AttachParams};
use tokio::io::AsyncReadExt as _;

/// A command that did not run to a good end.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// It was not started.
    #[error("could not start `{command}` in pod {pod}")]
    Start {
        /// The pod.
        pod: String,
        /// The command.
        command: String,
        /// What the API server says.
        #[source]
        source: kube::Error,
    },
    /// What it writes could not be read to its end.
    #[error("could not read what `{command}` in pod {pod} writes")]
    Read {
        /// The pod.
        pod: String,
        /// The command.
        command: String,
        /// The failure.
        #[source]
        source: std::io::Error,
    },
    /// The connection ended before the command.
    #[error("`{command}` in pod {pod} ended without a status")]
    NoStatus {
        /// The pod.
        pod: String,
        /// The command.
        command: String,
    },
    /// It ended, and not well.
    #[error("`{command}` in pod {pod} failed: {status}; it wrote {errors:?}")]
    Failed {
        /// The pod.
        pod: String,
        /// The command.
        command: String,
        /// What is said of its end, such as its exit code.
        status: String,
        /// What it wrote to standard error.
        errors: String,
    },
}

/// Runs a command in the first container of a running pod and gives what it writes to standard output.
///
/// ```no_run
/// # async fn example(pods: kube::Api<k8s_openapi::api::core::v1::Pod>) -> anyhow::Result<()> {
/// let page = vcluster_harness::command::output(&pods, "web", ["cat", "/www/index.html"]).await?;
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// It cannot be started, or ends with another exit code than 0.
pub async fn output(
    pods: &Api<Pod>,
    pod: &str,
    command: impl IntoIterator<Item = &str>,
) -> Result<String, Error> {
    let arguments: Vec<&str> = command.into_iter().collect();
    let (pod_name, command) = (|| pod.to_owned(), || arguments.join(" "));
    let mut process = pods
        .exec(pod, arguments.iter().copied(), &AttachParams::default())
        .await
        .map_err(|source| Error::Start {
            pod: pod_name(),
            command: command(),
            source,
        })?;
    let (mut output, mut errors) = (String::new(), String::new());
    let (stdout, stderr) = (process.stdout(), process.stderr());
    let status = process.take_status();
    // Side by side: a full pipe of one would hold up the other.
    let read = tokio::try_join!(read(stdout, &mut output), read(stderr, &mut errors));
    read.map_err(|source| Error::Read {
        pod: pod_name(),
        command: command(),
        source,
    })?;
    let status = match status {
        Some(status) => status.await,
        None => None,
    };
    match status {
        Some(status) if is_success(&status) => Ok(output),
        Some(status) => Err(Error::Failed {
            pod: pod_name(),
            command: command(),
            status: status.message.unwrap_or_default(),
            errors,
        }),
        None => Err(Error::NoStatus {
            pod: pod_name(),
            command: command(),
        }),
    }
}

async fn read(
    stream: Option<impl tokio::io::AsyncRead + Unpin>,
    into: &mut String,
) -> std::io::Result<()> {
    match stream {
        Some(mut stream) => stream.read_to_string(into).await.map(drop),
        None => Ok(()),
    }
}

fn is_success(status: &Status) -> bool {
    status.status.as_deref() == Some("Success")
}
