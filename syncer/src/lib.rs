//! Syncs a virtual Kubernetes cluster with its host: what must really run is copied to the host,
//! and what the host says about it is brought back.
//!
//! Only `vcluster-harness` is promised to users; this crate changes as that one needs it. It knows
//! nothing of tests.

pub mod config;
pub mod labels;
pub mod naming;
pub mod object_key;
pub mod rbac;
pub mod relay;

pub use object_key::ObjectKey;
