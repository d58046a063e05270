//! The cache on disk: files by the content of what made them, one creator at a time, never half-written.
//!
//! It knows nothing of images or Kubernetes.

mod cache;
mod claim;
mod draft;
mod error;
mod key;
mod record;
#[cfg(test)]
mod tests;

pub(crate) use cache::Store;
pub(crate) use claim::Claim;
pub(crate) use draft::Work;
pub use error::Error;
pub(crate) use key::Key;
pub(crate) use record::checksum;
