//! What the commands do.

mod cluster;
mod delete;
mod doctor;
mod host;
mod hosts;
mod kubeconfig;
mod logs;
mod matrix;
mod prune;
mod run;
mod timeline;

pub(crate) use run::run;
