//! What can go wrong with a host, and what to do about it.

use std::{path::PathBuf, time::Duration};

use super::preflight::Finding;
use crate::engine;

/// A host could not be found, made, reached or used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The Docker engine could not be reached, or failed.
    #[error(transparent)]
    Engine(#[from] engine::Error),
    /// The engine cannot run privileged containers, which a node is.
    #[error(
        "the Docker engine cannot run the privileged container {node}: give the engine all \
         capabilities (run it outside an unprivileged container), and use version 23 or newer, \
         which does without CAP_SYS_RESOURCE"
    )]
    Privileges {
        /// The container.
        node: String,
        /// The engine's answer.
        #[source]
        source: bollard::errors::Error,
    },
    /// What a look at the machine found before anything was made.
    #[error("host {host} cannot run on this machine:{}", listed(.faults))]
    Unfit {
        /// The host.
        host: String,
        /// What is wrong, and what to do about it.
        faults: Vec<Finding>,
    },
    /// The node image is not in the engine.
    #[error("the node image {image} is not in the Docker engine; run `cargo vcluster doctor`")]
    NodeImage {
        /// The reference.
        image: String,
        /// The engine's answer.
        #[source]
        source: bollard::errors::Error,
    },
    /// The image that a host is made of could not be obtained.
    #[error("there is no node image to make host {host} of")]
    NoNodeImage {
        /// The host.
        host: String,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// An option of a host means nothing.
    #[error("`{value}` is not a valid {option} of a host: {reason}")]
    Option {
        /// The option.
        option: &'static str,
        /// Its value.
        value: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A command in a node failed.
    #[error("`{command}` failed with code {code} on node {node}{}", tail(.output))]
    Command {
        /// The node.
        node: String,
        /// What was run.
        command: String,
        /// Its exit code.
        code: i64,
        /// The end of its output.
        output: String,
    },
    /// A command in a node did not end.
    #[error(
        "`{command}` on node {node} did not end within {:.0} s{}",
        .waited.as_secs_f64(),
        tail(.output)
    )]
    CommandTimeout {
        /// The node.
        node: String,
        /// What was run.
        command: String,
        /// How long it was waited for.
        waited: Duration,
        /// The end of its output so far.
        output: String,
    },
    /// A file in a node's container could not be read or written.
    #[error("could not pack or unpack {path} of container {container}")]
    File {
        /// The container.
        container: String,
        /// The file.
        path: String,
        /// The failure.
        #[source]
        source: std::io::Error,
    },
    /// The host's container is not there any more.
    #[error(
        "the container {container} of the host is gone: somebody deleted it while it was in use; \
         the next run makes a new host"
    )]
    Gone {
        /// The container.
        container: String,
    },
    /// The host's container runs, but not since it was found: what ran in it was ended with it.
    #[error(
        "the container {container} of the host was started again at {started}, while it was in use: \
         it, the engine or the machine was restarted; the next run goes on with the host"
    )]
    Restarted {
        /// The container.
        container: String,
        /// Since when it runs, as the engine writes it.
        started: String,
    },
    /// The host's container is there but not running.
    #[error(
        "the container {container} of the host is not running ({state}): it, or the engine, was \
         stopped while it was in use; the next run brings it up again"
    )]
    NotRunning {
        /// The container.
        container: String,
        /// What the engine says about it.
        state: String,
    },
    /// Something did not become ready in time.
    #[error(
        "host {host}: {awaited} not ready within {:.0} s; last seen: {last_seen}",
        .waited.as_secs_f64()
    )]
    NotReady {
        /// The host.
        host: String,
        /// What was awaited.
        awaited: String,
        /// How long.
        waited: Duration,
        /// What it looked like last.
        last_seen: String,
    },
    /// A cluster of this name is there already.
    #[error("there is a kind cluster {name} already; delete it first, or choose another name")]
    Exists {
        /// The cluster.
        name: String,
    },
    /// The host that was chosen has fewer nodes than a test wants.
    #[error(
        "host {host} has {found} node(s) that run pods, and {wanted} are wanted: choose another host, \
         or none (`VCLUSTER_TEST_HOST=auto`), and one with that many is made"
    )]
    TooFewNodes {
        /// The host.
        host: String,
        /// How many nodes were asked for.
        wanted: usize,
        /// How many there are.
        found: usize,
    },
    /// A container that belongs to no kind cluster has the name of a node.
    #[error(
        "there is a container {container} already that belongs to no kind cluster; remove it \
         (`docker rm --force {container}`), or choose another name for the host"
    )]
    NameTaken {
        /// The container.
        container: String,
    },
    /// A cluster of ours was never finished: its maker was killed, or parts of it were deleted.
    #[error("the host {name} is half-made ({reason}); the next run replaces it")]
    HalfMade {
        /// The cluster.
        name: String,
        /// What is missing.
        reason: String,
    },
    /// A cluster that is not ours is broken, so it is not replaced.
    #[error(
        "the kind cluster {name} was not made here and cannot be used: {reason}; repair it, or \
         delete it with `kind delete cluster --name {name}`"
    )]
    Foreign {
        /// The cluster.
        name: String,
        /// What is wrong.
        reason: String,
    },
    /// A kubeconfig could not be read or used.
    #[error("could not use the kubeconfig of {origin}")]
    Kubeconfig {
        /// A file, or a host.
        origin: String,
        /// The failure.
        #[source]
        source: kube::config::KubeconfigError,
    },
    /// A kubeconfig lacks something.
    #[error("the kubeconfig of {origin} cannot be used: {reason}")]
    KubeconfigContent {
        /// A file, or a host.
        origin: String,
        /// What is wrong.
        reason: String,
    },
    /// A request to the host's API server failed.
    #[error("could not {step} on host {host}")]
    Api {
        /// The host.
        host: String,
        /// What was asked.
        step: String,
        /// The failure.
        #[source]
        source: Box<kube::Error>,
    },
    /// A cluster of somebody else that has not opted in.
    #[error(
        "host {host} has not opted in to tests; if virtual clusters may be made there, run\n\
         \n    {command}\n"
    )]
    NotOptedIn {
        /// The host.
        host: String,
        /// The command that opts in.
        command: String,
    },
    /// A cluster somebody else runs has too old an API.
    #[error(
        "host {host} runs Kubernetes {version}, whose API server does not yet apply objects for its clients; \
         virtual clusters of every version live on {oldest} and newer"
    )]
    TooOld {
        /// The host.
        host: String,
        /// What it says that it is.
        version: String,
        /// The oldest minor that will do.
        oldest: String,
    },
    /// A host that cannot be given images lacks one.
    #[error(
        "image {image} exists on this machine only and cannot be loaded into host {host}: push it to \
         a registry that the host reaches"
    )]
    CannotLoad {
        /// The host.
        host: String,
        /// The image.
        image: String,
    },
    /// An image has no archive here and is not on the node.
    #[error("image {image} is not on node {node}, and there is no archive of it to load")]
    NoArchive {
        /// The node.
        node: String,
        /// The image.
        image: String,
    },
    /// The container engine does not have an image that is to be loaded from it.
    #[error(
        "image {image} is not in the container engine at {endpoint}: `docker build -t {image} .` makes \
         it from your sources, `docker pull {image}` or `docker load` gets it from elsewhere"
    )]
    NotInEngine {
        /// The image.
        image: String,
        /// The engine.
        endpoint: String,
        /// What the engine says.
        #[source]
        source: bollard::errors::Error,
    },
    /// An image archive could not be read.
    #[error("could not read the image archive {}", .path.display())]
    Archive {
        /// The archive.
        path: PathBuf,
        /// The failure.
        #[source]
        source: std::io::Error,
    },
    /// An image was loaded, yet is not on the node.
    #[error(
        "image {image} was loaded into node {node}, yet it is not there: expected {expected}, found \
         {found}"
    )]
    NotLoaded {
        /// The node.
        node: String,
        /// The image.
        image: String,
        /// The digest that was expected.
        expected: String,
        /// What the node has under this name.
        found: String,
    },
    /// A node's disk has no room left for an image.
    #[error(
        "no space left on node {node} for image {image}: the disk of the Docker engine is full; free \
         some (`cargo vcluster prune`, `docker system prune`)"
    )]
    NodeFull {
        /// The node.
        node: String,
        /// The image.
        image: String,
        /// What the import said.
        #[source]
        source: Box<Error>,
    },
    /// A lock file could not be used.
    #[error("could not lock {}", .path.display())]
    Lock {
        /// The lock file.
        path: PathBuf,
        /// The failure.
        #[source]
        source: std::io::Error,
    },
    /// Somebody else held a lock too long.
    #[error(
        "{} is still held after {:.0} s by {holder}",
        .path.display(),
        .waited.as_secs_f64()
    )]
    LockTimeout {
        /// The lock file.
        path: PathBuf,
        /// How long it was waited for.
        waited: Duration,
        /// What the holder wrote into it.
        holder: String,
    },
    /// The range of service addresses could not be found out.
    #[error("could not find out the service range of host {host}: {reason}")]
    ServiceRange {
        /// The host.
        host: String,
        /// What was seen.
        reason: String,
    },
}

impl Error {
    pub(crate) fn engine(
        step: &'static str,
        object: impl Into<String>,
    ) -> impl FnOnce(bollard::errors::Error) -> Self {
        let named = engine::Error::request(step, object);
        move |source| named(source).into()
    }

    pub(crate) fn api(host: &str, step: impl Into<String>) -> impl FnOnce(kube::Error) -> Self {
        let (host, step) = (host.to_owned(), step.into());
        move |source| Self::Api {
            host,
            step,
            source: Box::new(source),
        }
    }
}

/// Each on lines of its own, with its cure.
fn listed(findings: &[Finding]) -> String {
    let told = findings.iter().map(|finding| format!("\n  {finding}"));
    told.collect()
}

/// The last lines of a command's output, on lines of their own.
fn tail(output: &str) -> String {
    const LINES: usize = 15;
    let lines: Vec<String> = output
        .lines()
        .filter(|line| !line.trim().is_empty())
        .map(|line| format!("\n  {line}"))
        .collect();
    lines[lines.len().saturating_sub(LINES)..].concat()
}
