//! Everything a fresh machine lacks: the Docker engine, the packages that builds from source need.

mod apt;
mod cgroup;
mod daemon;
mod engine;
mod machine;
mod run;

pub(crate) use run::{prepare_all, prepare_images, prepare_machine};
