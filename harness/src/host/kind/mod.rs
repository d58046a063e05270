//! Hosts that are kind clusters: node containers driven through the Docker API, with kind's labels and
//! network, so that the `kind` command line sees and deletes them. No command line is needed.

mod addons;
mod address;
mod connect;
mod container;
mod create;
mod delete;
mod find;
mod kubeadm;
mod labels;
mod machine;
mod maker;
mod network;
mod nodes;
mod options;
mod pod_network;
mod ready;

pub(crate) use labels::MADE_BY_US;

pub use connect::connect;
pub(super) use connect::{is_up, resume};
pub use create::create;
pub(super) use create::make;
pub use delete::delete;
pub use find::{KindCluster, KindContainer, NodeRole, find, list};
pub use options::{KindOptions, Mount, Port};
