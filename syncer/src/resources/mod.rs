//! One file per synced resource. None of them does I/O.

pub mod config_map;
pub mod endpoint_slice;
pub mod endpoints;
pub mod node;
pub mod pod;
pub mod secret;
pub mod service;
