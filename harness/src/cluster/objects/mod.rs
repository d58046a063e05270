//! The host objects of one virtual cluster, computed; nothing here talks to a host.

mod access;
mod config;
mod namespace;
mod pod;
mod service;
mod several;

pub(super) use access::access;
pub(super) use config::{config_map, kubeconfig_secret, pki_secret, secrets};
pub(super) use namespace::{namespace, slice_patch, version_patch};
pub(super) use pod::{Images, stateful_set};
pub(super) use service::{Exposure, dns_service, member_services, service};

#[cfg(test)]
mod tests;
