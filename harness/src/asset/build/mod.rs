//! Building from source: Go modules, Debian packages, this workspace. The last source of every asset,
//! for networks that reach package registries and nothing else.

mod archive;
mod blocking;
mod builder;
mod command;
mod database;
mod debian;
mod error;
mod go;
mod go_module;
mod kube_proxy;
mod layer;
mod node;
mod node_base;
mod node_files;
mod preload;
mod shell;
mod source;
mod stand_in;
mod syncer;

pub(crate) use builder::Builder;
#[doc(hidden)]
pub use database::DatabaseServer;
pub use error::Error;
#[doc(hidden)]
pub use stand_in::StandIn;
