//! What a syncer must know of its cluster. The harness writes it into a file; the part that says what is
//! synced is the user's.

mod choice;
mod error;
mod file;
mod keys;
mod leader_election;
mod nodes;
mod pattern;
mod tolerations;

pub use choice::{Content, FromHost, Pods, Switch, Sync, ToHost};
pub use error::Error;
pub use file::SyncConfig;
#[cfg(test)]
pub(crate) use file::tests;
pub use keys::Keys;
pub use leader_election::LeaderElection;
pub use nodes::{NodeSelector, Nodes, Shown};
