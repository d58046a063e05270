//! Results of commands as data. The names of fields are a promise to programs.

mod cluster;
mod deletion;
mod doctor;
mod host;
mod kubeconfig;
mod log;
mod matrix;
mod timeline;

pub(crate) use cluster::{Cluster, ClusterList, Created};
pub(crate) use deletion::{Deleted, Leftover, Pruned};
pub(crate) use doctor::{Check, Doctor, Status};
pub(crate) use host::{Host, HostDown, HostList, HostUp};
pub(crate) use kubeconfig::KubeconfigReport;
pub(crate) use log::LogLine;
pub(crate) use matrix::Matrix;
pub(crate) use timeline::Timeline;
