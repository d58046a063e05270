//! Whom a virtual cluster belongs to, written on its host namespace and read back from it.
//!
//! The namespace is the record: no state file says which clusters exist. Nothing here does I/O with
//! a cluster except [`clock::host_now`].

pub mod clock;
mod judgement;
mod keep;
mod place;
mod record;

pub use self::{
    judgement::{Evidence, Verdict, judge},
    keep::{ChangeError, keep},
    place::{Place, Presence, Process, presence},
    record::{Error, Owner, key},
};
pub(crate) use self::{keep::change, place::user};
