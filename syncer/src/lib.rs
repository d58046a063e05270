//! Syncs a virtual Kubernetes cluster with its host: what must really run is copied to the host,
//! and what the host says about it is brought back.
//!
//! Only `vcluster-harness` is promised to users; this crate changes as that one needs it. It knows
//! nothing of tests.

mod addons;
pub mod cache;
pub mod caches;
mod chain;
pub mod client;
pub mod clusters;
pub mod config;
mod controller;
mod controllers;
mod coredns;
mod cover;
mod csi;
pub mod election;
mod events;
#[cfg(test)]
mod fake_api;
pub mod health;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod isolation;
mod kubernetes_service;
pub mod labels;
pub mod metadata;
pub mod metrics;
mod metrics_server;
mod mirror;
pub mod naming;
mod nodes;
pub mod object_key;
mod objects;
mod optional;
pub mod plan;
mod process;
#[cfg(any(test, feature = "fuzz"))]
pub mod properties;
mod quantity;
pub mod queue;
pub mod rbac;
pub mod references;
pub mod relay;
pub mod reset;
mod residents;
pub mod resource;
pub mod resources;
#[cfg(test)]
mod scenarios;
#[cfg(all(test, feature = "program"))]
mod seeds;
pub mod selector;
mod silence;
mod standing;
pub mod syncer;
mod token;
mod trim;
mod unknown_fields;
mod volumes;
pub mod warning;
mod watches;
mod worker;
pub mod write;

pub use object_key::ObjectKey;
pub use syncer::Syncer;
