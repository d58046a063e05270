//! One file per synced resource. None of them does I/O.

pub mod config_map;
pub mod endpoint_slice;
pub mod endpoints;
pub(crate) mod exposure;
pub mod ingress;
pub mod network_policy;
pub mod node;
pub mod persistent_volume;
pub mod persistent_volume_claim;
mod persistent_volume_secrets;
pub mod pod;
pub mod pod_disruption_budget;
pub mod priority_class;
pub mod secret;
pub mod service;
pub mod service_account;
pub mod storage_class;
