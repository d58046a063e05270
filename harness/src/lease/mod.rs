//! A test process's claim to be alive: a locked file that the kernel unlocks when the process ends,
//! however it ends.

mod file;
mod session;

pub(crate) use self::session::write_private;
pub use self::{
    file::{Error, Lease, LeaseState, Runs},
    session::{HostAccess, Session, SessionError},
};
