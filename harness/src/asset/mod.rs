//! What the harness runs: images and binaries, by the exact versions of the lock file.
//!
//! Each comes from the first source that has it: the user's directory, the cache, the container
//! engine, a registry or mirror, and last a build from source through package registries. Nothing
//! here knows about clusters.

mod assets;
mod build;
mod catalogue;
mod component;
mod describe;
mod digests;
mod directory;
mod error;
mod image;
mod memory;
mod prefetch;
mod recipe;
mod registry;
mod search;
mod store;
#[cfg(test)]
mod tests;

pub use assets::Assets;
pub use build::Error as BuildError;
#[doc(hidden)]
pub use build::{DatabaseServer, StandIn};
pub use catalogue::{Catalogue, Release};
pub use component::{Binary, Component};
pub use describe::Described;
pub use error::Error;
pub use image::{Image, NodeImage, Origin};
pub use prefetch::Prefetched;
pub use store::Error as StoreError;
