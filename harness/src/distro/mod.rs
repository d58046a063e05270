//! Flavours of Kubernetes control planes, described as data.
//!
//! Pure: nothing here starts, reads or asks anything.

mod context;
mod control_plane;
mod egress;
mod k8s;
mod list;

pub use context::{ControlPlaneContext, Scheduling};
pub use control_plane::{Container, ControlPlane, Mount, Requests, Volume};
pub use k8s::K8s;
pub use list::{DEFAULT, Distro, UnknownDistro, all, find};

#[cfg(test)]
mod tests;
