//! A real Kubernetes cluster for every test.
//!
//! Add this crate as a dev-dependency, put [`vcluster_test`] on an async test, and ask for what the
//! test needs by the type of its arguments.

pub mod admission;
pub mod asset;
pub mod cluster;
pub mod command;
pub mod datastore;
pub mod deadline;
pub mod diagnostics;
pub mod distro;
pub mod engine;
pub mod fixture;
pub mod host;
pub mod lease;
pub mod live;
mod lock_file;
pub mod log;
pub mod owner;
pub mod pki;
pub mod pool;
pub mod progress;
pub mod prune;
pub mod reaper;
pub mod settings;
mod shared_client;
pub mod signal;
pub mod slice;
pub mod testing;
pub mod timeline;
pub mod version;
pub mod wait;

/// [`vcluster_test`] under the one name that rstest takes for a test's.
pub use vcluster_macros::test;
#[doc = include_str!("testing/vcluster_test.md")]
pub use vcluster_macros::vcluster_test;
