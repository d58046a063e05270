//! Puts the store of a running virtual cluster back to a saved state, key by key, while its API server
//! runs and follows. It writes as an API server does, to etcd and to kine alike, and never anything that
//! was not read before.

#[cfg(feature = "program")]
mod address;
#[cfg(feature = "program")]
pub mod command;
#[cfg(feature = "program")]
mod error;
#[cfg(feature = "program")]
mod etcd;
#[cfg(feature = "program")]
mod message;
#[cfg(feature = "program")]
mod object;
#[cfg(feature = "program")]
mod plan;
#[cfg(all(feature = "program", any(test, feature = "fuzz")))]
pub mod properties;
mod report;
#[cfg(feature = "program")]
mod rounds;
#[cfg(feature = "program")]
mod rule;
#[cfg(feature = "program")]
mod session;
#[cfg(feature = "program")]
mod state;
mod step;
#[cfg(feature = "program")]
mod store;
#[cfg(feature = "program")]
mod target;
#[cfg(all(test, feature = "program"))]
mod tests;

#[cfg(feature = "program")]
pub use error::Error;
pub use report::{DIFFERS, Report, told};
pub use step::{Step, UnknownStep};

/// The variable of the program's container that says where its store is.
pub const ENDPOINT: &str = "VCLUSTER_STORE_ENDPOINT";
