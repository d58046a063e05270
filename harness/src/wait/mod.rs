//! Waiting for a condition, never for a time.
//!
//! A wait watches; it does not poll. When it gives up it says what was awaited, how long, what was last
//! seen, and what the cluster's events say about it.

mod describe;
mod until;

/// Conditions: kube's own and those that it lacks.
pub mod conditions;

pub use self::{
    describe::last_seen,
    until::{Error, until},
};
