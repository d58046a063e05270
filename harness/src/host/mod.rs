//! Hosts: the real clusters in which virtual clusters live. Found or made, never owned by a test.

mod archive;
mod cluster;
mod crypto;
mod error;
mod existing;
mod files;
pub mod idle;
mod image;
pub mod kind;
mod kubeconfig;
mod lock;
mod node;
pub mod preflight;
mod service_range;
mod shape;
mod shared;

pub use cluster::HostCluster;
pub(crate) use cluster::client;
pub use crypto::install_provider;
pub use error::Error;
pub use existing::OPT_IN;
pub use shape::shared_name;
pub use shared::{shared, shared_with_nodes};
