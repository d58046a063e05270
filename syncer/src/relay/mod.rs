//! The way out of the virtual API server: it sends everything that leaves the cluster here, by
//! `CONNECT`. The relay plays the kubelets of the cluster's nodes and connects through to the
//! cluster's own pods and services; it never connects anywhere else, and never reads a stream.

mod body;
mod certificates;
mod connection;
mod directory;
mod feed;
mod headers;
mod host_api;
mod host_path;
mod identity;
mod kubelet;
mod kubelet_request;
mod listener;
mod metrics_api;
mod metrics_table;
mod metrics_text;
mod options;
#[cfg(any(test, feature = "fuzz"))]
pub mod properties;
mod query;
mod records;
mod refusal;
mod run;
mod server;
mod shared;
mod splice;
mod stats;
mod summary;
mod target;
mod usage;

#[cfg(test)]
mod tests;

pub use certificates::Error as CertificateError;
pub use directory::{ApiServer, Directory, KUBELET_PORT, Route};
pub use options::{Clients, Limits, RelayOptions};
pub use records::{PodRecord, PortRecord, ServiceRecord, SliceRecord};
pub use refusal::Refusal;
pub use run::run;
pub use server::{Error, Relay};
pub use shared::SharedDirectory;
pub use target::{Host, ParseError, Target};
