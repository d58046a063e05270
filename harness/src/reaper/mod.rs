//! Removes what dead tests left on a host: at once by a process that outlives the test, and at the
//! next start by a sweep. Never touches what belongs to a living owner.

mod delete;
#[cfg(test)]
pub(crate) mod fake_host;
mod log;
mod order;
mod renew;
mod spawn;
mod sweep;
#[cfg(test)]
mod tests;
mod watch;

pub(crate) use self::renew::TIED_FOR;
pub use self::{
    delete::DeleteError,
    order::Order,
    spawn::{Restart, Running, SpawnError, spawn},
    sweep::{Leftover, Reaper, SweepError, sweep_once},
    watch::run_if_asked,
};
