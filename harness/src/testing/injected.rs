//! What the harness gives to tests that ask for it by type.

use kube::{Client, config::Kubeconfig};

use super::{
    argument::{Argument, ArgumentError, Need},
    spec::TestInfo,
};
use crate::{cluster::VirtualCluster, host::HostCluster};

impl Argument for VirtualCluster {
    const NEED: Need = Need::NewCluster;

    async fn of(cluster: &VirtualCluster, _: &TestInfo) -> Result<Self, ArgumentError> {
        Ok(cluster.clone())
    }
}

/// With the rights of the cluster's administrator.
impl Argument for Client {
    async fn of(cluster: &VirtualCluster, _: &TestInfo) -> Result<Self, ArgumentError> {
        Ok(cluster.client())
    }
}

/// With the rights of the cluster's administrator.
impl Argument for Kubeconfig {
    async fn of(cluster: &VirtualCluster, _: &TestInfo) -> Result<Self, ArgumentError> {
        Ok(cluster.kubeconfig().clone())
    }
}

/// The host that the cluster runs on.
impl Argument for HostCluster {
    async fn of(cluster: &VirtualCluster, _: &TestInfo) -> Result<Self, ArgumentError> {
        Ok(cluster.host().clone())
    }
}
