//! A control plane as data: the containers of one pod, less the syncer.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{egress, secret::Secret};
use crate::asset::Component;

/// A control plane, described.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ControlPlane {
    /// Its containers, in the order in which they are started.
    pub containers: Vec<Container>,
    /// How many pods of these containers there are. Several keep their data on volumes of their own.
    #[serde(skip_serializing_if = "is_one")]
    pub replicas: u8,
    /// Files of its own in [`Volume::Config`], by name, and values of [`Container::file_environment`].
    pub files: BTreeMap<&'static str, String>,
    /// What nobody shall read: values of [`Container::secret_environment`], by name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub secrets: BTreeMap<&'static str, Secret>,
    /// The database that it keeps its objects in, when that is outside the pod.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub database: Option<OutsideDatabase>,
    /// How its store is reached from the syncer's container, where the program runs that saves it and puts it
    /// back. Without a way it can be neither.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub store: Option<StoreAccess>,
    /// The user and group of the syncer and of every container that is not root: the syncer's relay
    /// serves its own user and root, and nobody else.
    pub user: i64,
    /// The port on which the API is served.
    pub api_port: u16,
    /// The path that answers 200 once the API may be used.
    pub ready_path: &'static str,
}

/// A database outside the pod.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OutsideDatabase {
    /// The container that speaks to it, and whose log tells how that goes.
    pub container: &'static str,
    /// Where it is, for messages.
    pub address: String,
}

/// How a store that serves etcd's API is reached from another container of its pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum StoreAccess {
    /// Through etcd's port, which is open to whoever is in the pod.
    Port,
    /// Through etcd's port, with a certificate of the cluster's authority.
    SecurePort,
    /// Through a socket in one of the pod's volumes, by its path in there.
    Socket(Volume, &'static str),
}

/// One container of a control plane.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Container {
    /// Its name in the pod.
    pub name: &'static str,
    /// What its image holds.
    #[serde(serialize_with = "component_name")]
    pub image: Component,
    /// The program and its arguments.
    pub command: Vec<String>,
    /// Environment variables.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub environment: BTreeMap<&'static str, String>,
    /// Environment variables whose values are in [`ControlPlane::files`], under these names. Like those
    /// of secrets they are read anew whenever the container starts, also in a pod that runs: what differs
    /// between versions is said here, and an upgrade can change it.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub file_environment: BTreeMap<&'static str, &'static str>,
    /// Environment variables whose values are in [`ControlPlane::secrets`], under these names.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub secret_environment: BTreeMap<&'static str, &'static str>,
    /// The environment variable that holds the name of its pod.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pod_name: Option<&'static str>,
    /// The host asks it at [`ControlPlane::ready_path`] whether clients may be sent to its pod.
    #[serde(skip_serializing_if = "is_false")]
    pub is_asked: bool,
    /// What it sees of the pod's volumes.
    pub mounts: Vec<Mount>,
    /// What it may do on its node.
    #[serde(skip_serializing_if = "Privileges::is_none")]
    pub privileges: Privileges,
    /// What it is promised by the host's scheduler.
    pub requests: Requests,
}

/// What a container may do on its node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Privileges {
    /// It runs as root rather than as [`ControlPlane::user`].
    pub root: bool,
    /// The capabilities that it keeps.
    pub capabilities: &'static [&'static str],
    /// It may write to its own file system, and not only to its volumes.
    pub writable_files: bool,
}

/// A volume in a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Mount {
    /// Which volume.
    pub volume: Volume,
    /// One file of it; all of it when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<&'static str>,
    /// Where.
    pub path: &'static str,
}

/// The volumes of the control-plane pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Volume {
    /// The certificates, keys and kubeconfigs of [`crate::pki::Pki`].
    Pki,
    /// Configuration files: the distro's and the syncer's.
    Config,
    /// Sockets between the containers, in memory.
    Run,
    /// The store's data, in memory.
    Data,
}

/// What the host's scheduler sets aside. Little, so that many clusters fit; use may exceed it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Requests {
    /// Thousandths of a processor.
    pub cpu_millis: u32,
    /// Mebibytes of memory.
    pub memory_mib: u32,
}

impl ControlPlane {
    /// Is it made of more than one pod?
    pub fn is_several(&self) -> bool {
        self.replicas > 1
    }

    /// What these containers are in any distro.
    pub(super) fn of(containers: Vec<Container>) -> Self {
        Self {
            containers,
            replicas: 1,
            files: [(egress::FILE, egress::configuration())].into(),
            secrets: BTreeMap::new(),
            database: None,
            store: Some(StoreAccess::Port),
            user: NOBODY,
            api_port: 6443,
            ready_path: "/readyz",
        }
    }
}

impl StoreAccess {
    /// Where the store answers, as the program is told.
    pub fn endpoint(self) -> String {
        match self {
            Self::Port => "http://127.0.0.1:2379".to_owned(),
            Self::SecurePort => "https://127.0.0.1:2379".to_owned(),
            Self::Socket(volume, path) => format!("unix:{}/{path}", volume.path()),
        }
    }

    /// The volume in which it is.
    pub fn volume(self) -> Option<Volume> {
        match self {
            Self::Port | Self::SecurePort => None,
            Self::Socket(volume, _) => Some(volume),
        }
    }
}

impl Container {
    /// A container that is told and sees nothing, and may do nothing in particular.
    pub(super) fn new(name: &'static str, image: Component, requests: Requests) -> Self {
        Self {
            name,
            image,
            command: Vec::new(),
            environment: BTreeMap::new(),
            file_environment: BTreeMap::new(),
            secret_environment: BTreeMap::new(),
            pod_name: None,
            is_asked: false,
            mounts: Vec::new(),
            privileges: Privileges::NONE,
            requests,
        }
    }
}

/// The user of distroless images that is nobody in particular.
pub(super) const NOBODY: i64 = 65532;

impl Privileges {
    /// None at all.
    pub const NONE: Self = Self {
        root: false,
        capabilities: &[],
        writable_files: false,
    };

    fn is_none(&self) -> bool {
        *self == Self::NONE
    }
}

impl Volume {
    /// What every API server sees, whichever distro starts it.
    pub(super) const OF_API_SERVERS: [Mount; 3] =
        [Self::Pki.mount(), Self::Config.mount(), Self::Run.mount()];

    /// Its name in the pod.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pki => "pki",
            Self::Config => "config",
            Self::Run => "run",
            Self::Data => "data",
        }
    }

    /// Where it is by custom.
    pub const fn path(self) -> &'static str {
        match self {
            Self::Pki => "/pki",
            Self::Config => "/config",
            Self::Run => "/run/vcluster",
            Self::Data => "/data",
        }
    }

    /// All of it where it is by custom.
    pub const fn mount(self) -> Mount {
        self.mount_at(self.path())
    }

    /// All of it where a program looks for it.
    pub const fn mount_at(self, path: &'static str) -> Mount {
        Mount {
            volume: self,
            file: None,
            path,
        }
    }
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde hands over references"
)]
fn component_name<S: serde::Serializer>(
    component: &Component,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(component.name())
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde hands over references"
)]
fn is_one(count: &u8) -> bool {
    *count == 1
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde hands over references"
)]
fn is_false(condition: &bool) -> bool {
    !condition
}
