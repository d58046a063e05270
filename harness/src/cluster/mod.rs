//! Virtual clusters: started on a host, found again, deleted.

mod builder;
mod claim;
mod connect;
mod connection;
mod control_plane;
mod delete;
mod endpoint;
mod error;
mod forward;
mod launch;
mod names;
mod objects;
mod phases;
mod record;
mod request;
mod reset;
mod sightings;
mod start;
mod upgrade;
mod virtual_cluster;

pub use builder::{OnFailure, VirtualClusterBuilder};
pub use connect::connect;
pub use control_plane::ContainerFailure;
pub use delete::{DeleteError, delete, wait_until_gone};
pub use error::{Cause, Error, Step};
pub use names::InvalidName;
pub use phases::{Phase, Phases};
pub use record::{ClusterRecord, ListError, list};
pub use reset::{Reset, ResetError};
pub use upgrade::{Refusal, Upgrade, UpgradeError};
pub use vcluster_syncer::config::Sync;
pub use virtual_cluster::VirtualCluster;
