//! Watches a control plane while it starts, so that a container that will never run is reported at
//! once and in its own words.

mod database;
mod failure;
mod ready;
mod version;
mod watch;

pub use failure::ContainerFailure;
pub(super) use ready::{account_exists, api_ready, repeat, syncers_ready};
pub(super) use version::{check_version, check_version_at};
pub(super) use watch::Watch;
