//! The container engine as a place where images are. Running hosts is not its business.

mod commit;
mod connection;
mod error;

pub(crate) use commit::Commit;
pub(crate) use connection::Engine;
pub use error::Error;
