//! Certificates, keys and kubeconfigs of a virtual cluster, all made before anything starts.
//!
//! Never touches a disk or a network, and its secrets do not show in `Debug`.

mod access;
mod authority;
mod bundle;
mod names;

pub use access::{Access, SecretError};
pub use authority::Error;
pub use bundle::{MemberError, Pki, member_of};
pub use names::ServerNames;
