//! Everything a fresh machine lacks: the Docker engine, the packages that builds from source need, the second test runner.

mod apt;
mod cgroup;
mod daemon;
mod engine;
mod machine;
mod nextest;
mod run;

pub(crate) use nextest::prepare_nextest;
pub(crate) use run::{prepare_all, prepare_images, prepare_machine};
