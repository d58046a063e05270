//! Flavours of Kubernetes control planes, described as data.
//!
//! Pure: nothing here starts, reads or asks anything.

mod context;
mod control_plane;
mod controllers;
mod egress;
mod k0s;
mod k3s;
mod k8s;
mod list;
mod scheduler;
mod secret;
mod store;

pub use context::{ControlPlaneContext, Replicas, Scheduling};
pub use control_plane::{
    Container, ControlPlane, Mount, OutsideDatabase, Privileges, Requests, StoreAccess, Volume,
};
pub use k0s::K0s;
pub use k3s::K3s;
pub use k8s::K8s;
pub use list::{DEFAULT, Distro, UnknownDistro, all, find};
pub use secret::Secret;

use control_plane::NOBODY;

#[cfg(test)]
mod tests;
