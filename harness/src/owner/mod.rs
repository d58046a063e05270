//! Whom a virtual cluster belongs to, written on its host namespace and read back from it.
//!
//! The namespace is the record: no state file says which clusters exist. Nothing here does I/O with
//! a cluster except [`clock::host_now`].

pub mod clock;
mod judgement;
mod place;
mod record;

pub(crate) use self::place::user;
pub use self::{
    judgement::{Evidence, Verdict, judge},
    place::{Place, Presence, Process, presence},
    record::{Error, Owner, key},
};
