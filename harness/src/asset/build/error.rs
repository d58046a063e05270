//! What may go wrong in a build.

use std::{io, path::PathBuf, time::Duration};

use crate::version::KubernetesVersion;
use crate::{
    asset::{Binary, Component, store},
    engine,
};

/// A failure of a build from source.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A program that builds need is not installed.
    #[error("{tool} is needed {purpose}, and is not installed; {remedy}")]
    MissingTool {
        /// The program.
        tool: &'static str,
        /// What for.
        purpose: &'static str,
        /// What to do.
        remedy: &'static str,
    },
    /// A program could not be run.
    #[error("could not run {program}")]
    Run {
        /// The program.
        program: String,
        /// The answer of the system.
        #[source]
        source: io::Error,
    },
    /// A program failed.
    #[error("{program} ended with {status}; its last lines were:\n{tail}")]
    Failed {
        /// The program and its first arguments.
        program: String,
        /// How it ended.
        status: String,
        /// The last lines of its output.
        tail: String,
    },
    /// A program took too long.
    #[error("{program} did not end within {} min; its last lines were:\n{tail}", limit.as_secs() / 60)]
    TooSlow {
        /// The program and its first arguments.
        program: String,
        /// How long it had.
        limit: Duration,
        /// The last lines of its output.
        tail: String,
    },
    /// A program failed because the disk is full.
    #[error("no space left on the disk while {program} ran; its last lines were:\n{tail}")]
    DiskFull {
        /// The program and its first arguments.
        program: String,
        /// The last lines of its output.
        tail: String,
    },
    /// There is no Go module for this version.
    #[error(
        "{binary} {version} cannot be built from source here; {} can",
        list(buildable)
    )]
    NoModule {
        /// What was asked for.
        binary: Binary,
        /// Its version.
        version: KubernetesVersion,
        /// The versions with a module.
        buildable: Vec<KubernetesVersion>,
    },
    /// A node image is a Debian tree with devices and owners.
    #[error(
        "building a kind node image needs root; run as root once, or make the official image known \
         to the container engine: `docker pull {official}`"
    )]
    NeedsRoot {
        /// The image that would do.
        official: String,
    },
    /// The sources of the syncer were edited while it was built from them.
    #[error("the sources of the syncer changed while it was being built; run again")]
    SourcesChanged,
    /// A node image of this version needs a companion that has no Go module.
    #[error(
        "a node image of kubernetes {version} needs {component} {wanted}, which cannot be built from source \
         here; use the official image, or {} for the host",
        list(buildable)
    )]
    NodeCompanion {
        /// The version of the node.
        version: KubernetesVersion,
        /// The companion.
        component: Component,
        /// The version that kubeadm asks for.
        wanted: String,
        /// The versions of nodes that can be built.
        buildable: Vec<KubernetesVersion>,
    },
    /// apt has no usable source.
    #[error("found no Debian mirror in apt's configuration; its package sources were: {found}")]
    NoMirror {
        /// What apt is configured with.
        found: String,
    },
    /// A file that a build needs is not as expected.
    #[error("{what} is not as expected: {found}")]
    Unexpected {
        /// The thing.
        what: &'static str,
        /// How it is.
        found: String,
    },
    /// Reading or writing failed.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The container engine failed.
    #[error(transparent)]
    Engine(#[from] engine::Error),
}

fn list(versions: &[KubernetesVersion]) -> String {
    let names: Vec<_> = versions.iter().map(ToString::to_string).collect();
    names.join(", ")
}

impl Error {
    /// Names a failed step with a file; a full disk is its own kind.
    pub(crate) fn io(
        step: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let wrap = store::Error::io(step, path);
        move |source| Self::Store(wrap(source))
    }
}
