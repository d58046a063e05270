//! How fast and how large: host, virtual clusters, syncer.

mod cluster;
mod distro;
mod exposition;
mod host;
mod load;
mod machine;
mod matrix;
mod measurement;
mod memory;
mod objects;
mod pool;
mod report;
mod run;
mod sightings;
mod start;
mod suite;
mod sync;

pub(crate) use run::run;
