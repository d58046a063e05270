//! The Docker engine: where it is, a connection to it, and the images that it has.
//!
//! One connection for all: hosts are containers of it, and images come and go through it.

mod address;
mod commit;
mod connection;
mod error;
#[cfg(test)]
pub(crate) mod fake;
mod images;

pub(crate) use commit::{Commit, MAKES_IMAGE};
pub use connection::Engine;
pub(crate) use connection::{REQUEST, whole};
pub use error::Error;
