//! Why a virtual cluster could not be started or reached.

use std::{fmt, io, time::Duration};

use super::{DeleteError, InvalidName, ListError, control_plane::ContainerFailure};
use crate::{
    admission, asset, datastore::DatastoreKind, fixture, host, pki, slice::ServiceRanges,
    version::KubernetesVersion,
};

/// A step of a start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Step {
    /// Find a version and its images, and bring them to the host.
    Images,
    /// Ask the host what it is.
    Host,
    /// Wait until there is room on this machine.
    Room,
    /// Make the namespace.
    Namespace,
    /// Claim service addresses.
    Address,
    /// Make the control plane's objects.
    Objects,
    /// Wait for the API server.
    ControlPlane,
    /// Make sure that pods can be created.
    Account,
    /// Wait for the syncer.
    Syncer,
    /// Put into it what was asked for.
    Fixtures,
    /// Find a cluster that runs already.
    Connect,
}

/// A virtual cluster that could not be started or reached, and where it failed.
#[derive(Debug, thiserror::Error)]
#[error("virtual cluster `{cluster}`: step `{step}` failed after {:.1} s", elapsed.as_secs_f64())]
pub struct Error {
    /// The cluster's name.
    pub cluster: String,
    /// The step that failed.
    pub step: Step,
    /// How long after the call.
    pub elapsed: Duration,
    /// Why.
    pub source: Cause,
}

/// Why a step failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Cause {
    /// The name cannot be used.
    #[error(transparent)]
    Name(#[from] InvalidName),
    /// An image or a version cannot be had.
    #[error("the images cannot be had")]
    Asset(#[from] asset::Error),
    /// The host.
    #[error("the host cannot be used")]
    Host(#[from] host::Error),
    /// This machine.
    #[error("there is no room for it")]
    Room(#[from] admission::Error),
    /// The certificates.
    #[error("the certificates cannot be made")]
    Pki(#[from] pki::Error),
    /// A Secret of a running cluster is not what it should be.
    #[error("the credentials cannot be read")]
    Credentials(#[from] pki::SecretError),
    /// What is to be synced does not go together.
    #[error("the choice of what is synced is not valid")]
    Sync(#[from] vcluster_syncer::config::Error),
    /// A configuration file.
    #[error("could not write a configuration file")]
    Yaml(#[from] serde_yaml_ng::Error),
    /// There is something under the cluster's name.
    #[error(
        "the host already has a namespace `{namespace}`; connect to the cluster, delete it, or choose another name"
    )]
    Exists {
        /// The namespace.
        namespace: String,
    },
    /// The host does not list its clusters.
    #[error(transparent)]
    List(#[from] ListError),
    /// Images come with a cluster's start.
    #[error("a cluster that was connected to has no source of images")]
    NoAssets,
    /// A cluster of the same name is being deleted and does not go.
    #[error("the cluster of this name that is being deleted is in the way")]
    Predecessor(#[from] DeleteError),
    /// There is nothing under the cluster's name.
    #[error("the host has no such cluster{}", have(known))]
    NotFound {
        /// The clusters it has.
        known: Vec<String>,
    },
    /// The Service has no port on the nodes although it should.
    #[error("service {namespace}/{name} has no node port")]
    NoNodePort {
        /// The Service's namespace.
        namespace: String,
        /// Its name.
        name: String,
    },
    /// The host gave a Service no address.
    #[error("service {namespace}/{name} got no address")]
    NoAddress {
        /// The Service's namespace.
        namespace: String,
        /// Its name.
        name: String,
    },
    /// The host refused a request.
    #[error("could not {action}")]
    Request {
        /// What was asked for, such as `create service web/web on host`.
        action: String,
        /// The refusal.
        source: kube::Error,
    },
    /// No slice is free.
    #[error(
        "no slice of the host's service range {ranges} is free: {tried} were tried; delete clusters that are no longer needed"
    )]
    NoSlice {
        /// The host's range, or one of each family.
        ranges: ServiceRanges,
        /// How many slices were tried.
        tried: usize,
    },
    /// A container of the control plane does not run.
    #[error(transparent)]
    Container(#[from] ContainerFailure),
    /// The host does not make the control plane's pod.
    #[error("the host does not make the control plane's pod: {message}")]
    PodRefused {
        /// The host's words.
        message: String,
    },
    /// The distro has no such store.
    #[error(
        "distro `{distro}` cannot keep its objects in {asked}{}",
        instead(known)
    )]
    NoSuchStore {
        /// The distro.
        distro: &'static str,
        /// What was asked for.
        asked: DatastoreKind,
        /// What it can have.
        known: &'static [DatastoreKind],
    },
    /// The control plane cannot be made of so many pods.
    #[error("a control plane cannot be made of {replicas} pods: {reason}")]
    Replicas {
        /// How many.
        replicas: u8,
        /// Why not.
        reason: &'static str,
    },
    /// Several pods need a volume each.
    #[error(
        "the host has no default storage class, and each of several pods of a control plane keeps its data on a \
         volume: make one the default, or ask for one pod"
    )]
    NoStorage,
    /// The database that the control plane keeps its objects in cannot be used.
    #[error("the database {address} cannot be used; container {container} said: {message}")]
    Database {
        /// Where it is, without its password.
        address: String,
        /// The container that speaks to it.
        container: &'static str,
        /// What that container said last.
        message: String,
    },
    /// It took too long.
    #[error("waited {:.0} s for {awaited}; last seen: {last_seen}", limit.as_secs_f64())]
    TimedOut {
        /// What was awaited.
        awaited: &'static str,
        /// How long.
        limit: Duration,
        /// What was last seen.
        last_seen: String,
    },
    /// The image holds another version than its name promises.
    #[error(
        "the API server says that it is {found}, but Kubernetes {asked} was asked for: {images} is another version"
    )]
    OtherVersion {
        /// The version that was asked for.
        asked: KubernetesVersion,
        /// What the API server says of itself.
        found: String,
        /// The images of the control plane that are of a Kubernetes version.
        images: String,
    },
    /// A fixture.
    #[error(transparent)]
    Fixture(#[from] fixture::Error),
    /// A certificate for a cluster that exists.
    #[error("no certificate can be made for the test")]
    Member(#[from] pki::MemberError),
    /// It waited for its next test, and did not stay as it was.
    #[error("containers of its control plane do not run, or were started again while it waited")]
    Restarted,
    /// The kubeconfig that was made is not usable.
    #[error("the kubeconfig is not usable")]
    Kubeconfig(#[from] kube::config::KubeconfigError),
    /// No client can be made.
    #[error("could not make a client")]
    Client(#[source] kube::Error),
    /// No port of this machine can be opened.
    #[error("could not listen on a port of this machine")]
    Listen(#[source] io::Error),
}

/// A cause with the step it belongs to.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) step: Step,
    pub(super) cause: Cause,
}

impl Step {
    /// A short name for messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Images => "images",
            Self::Host => "host",
            Self::Room => "room",
            Self::Namespace => "namespace",
            Self::Address => "service addresses",
            Self::Objects => "objects",
            Self::ControlPlane => "control plane",
            Self::Account => "service account",
            Self::Syncer => "syncer",
            Self::Fixtures => "fixtures",
            Self::Connect => "connect",
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Failure {
    /// For `map_err`: attributes whatever went wrong to `step`.
    pub(super) fn at<E: Into<Cause>>(step: Step) -> impl FnOnce(E) -> Self {
        move |error| Self {
            step,
            cause: error.into(),
        }
    }
}

/// For `map_err`: a request of the harness to an API server.
pub(super) fn request(action: impl Into<String>) -> impl FnOnce(kube::Error) -> Cause {
    move |source| Cause::Request {
        action: action.into(),
        source,
    }
}

fn instead(known: &[DatastoreKind]) -> String {
    match known {
        [] => ": it has a store of its own".to_owned(),
        known => {
            let known: Vec<_> = known.iter().map(ToString::to_string).collect();
            format!("; it can in {}", known.join(", "))
        }
    }
}

fn have(known: &[String]) -> String {
    if known.is_empty() {
        "; it has none".to_owned()
    } else {
        format!("; it has {}", known.join(", "))
    }
}
