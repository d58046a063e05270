//! Why a cluster was not upgraded.

use std::{convert::Infallible, time::Duration};

use super::route::Refusal;
use crate::{
    asset,
    cluster::error::{Cause, Step},
    version::{KubernetesVersion, ParseVersionError},
};

/// A cluster that was not upgraded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UpgradeError {
    /// What was asked for is no version.
    #[error(transparent)]
    NoVersion(#[from] ParseVersionError),
    /// There is no such version.
    #[error("the new version cannot be had")]
    Asset(#[from] asset::Error),
    /// Images and descriptions come with a cluster's start.
    #[error(
        "cluster `{cluster}` was only connected to, so it is not known what it was started with; upgrade it in the process that started it"
    )]
    OnlyConnected {
        /// The cluster.
        cluster: String,
    },
    /// Nothing goes from the one version to the other.
    #[error(
        "cluster `{cluster}` cannot go from Kubernetes {from} to {to}: {reason}{}",
        instead(*nearest)
    )]
    Refused {
        /// The cluster.
        cluster: String,
        /// Its version.
        from: KubernetesVersion,
        /// The version that was asked for.
        to: KubernetesVersion,
        /// What is in the way.
        reason: Refusal,
        /// The nearest version that it can go to.
        nearest: Option<KubernetesVersion>,
    },
    /// A step failed. The cluster is of both versions now; asking again goes on where it ended.
    #[error(
        "cluster `{cluster}`: the upgrade from Kubernetes {from} to {to} failed at step `{step}` after {:.1} s",
        elapsed.as_secs_f64()
    )]
    Failed {
        /// The cluster.
        cluster: String,
        /// The version it had.
        from: KubernetesVersion,
        /// The version it was to have.
        to: KubernetesVersion,
        /// The step.
        step: Step,
        /// How long after the call.
        elapsed: Duration,
        /// Why.
        source: Box<Cause>,
    },
}

impl From<Infallible> for UpgradeError {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

fn instead(nearest: Option<KubernetesVersion>) -> String {
    nearest.map_or_else(
        || "; start another cluster with it".to_owned(),
        |version| format!("; it can go to {version}, or start another cluster"),
    )
}
