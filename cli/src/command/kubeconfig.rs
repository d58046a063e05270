//! `kubeconfig`: how any client reaches a cluster from this machine.

use vcluster_harness::cluster;

use super::{hosts::Hosts, run::Context};
use crate::{
    exit::{Exit, Failure},
    report::KubeconfigReport,
};

pub(super) async fn kubeconfig(cx: &Context, name: &str) -> Result<Exit, Failure> {
    let hosts = Hosts::find(cx).await?;
    let found = hosts.cluster(name).await?;
    let cluster = cluster::connect(&found.host, name).await?;
    cx.print(&KubeconfigReport(cluster.kubeconfig().clone()))?;
    Ok(Exit::Good)
}
