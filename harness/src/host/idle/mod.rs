//! When a shared host is nobody's any more: the last reaper to finish becomes its idle timer, and deletes it
//! unless somebody uses it again.
//!
//! Users share a lock, so the timer can tell whether there is one; when a host was last used and whether it
//! is to stay is written on the host itself, where other users and other versions of this library see it.

mod decide;
mod record;
mod timer;
mod uses;

pub(crate) use self::{
    record::mark_used,
    timer::{Idle, delete_now, is_over, run},
    uses::Uses,
};
pub use self::{record::stand, timer::UseError};
