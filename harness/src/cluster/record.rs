//! The clusters of a host, read from what is written on their namespaces.

use ipnet::IpNet;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Namespace;
use kube::{Api, Client, api::ListParams};
use serde::Serialize;

use super::names::{DISTRO, SLICE, VERSION};
use crate::{
    owner::{self, Owner, key},
    pool::PoolState,
    version::KubernetesVersion,
};

/// A virtual cluster as its host records it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct ClusterRecord {
    /// Its name.
    pub name: String,
    /// Its namespace on the host.
    pub namespace: String,
    /// Its distro.
    pub distro: Option<String>,
    /// Its Kubernetes version.
    pub version: Option<KubernetesVersion>,
    /// The service addresses it owns, of the family that services have unless they say otherwise.
    pub slice: Option<IpNet>,
    /// Whom it belongs to; `None` when that cannot be read.
    pub owner: Option<Owner>,
    /// When it was made, by the host's clock.
    pub created: Option<Timestamp>,
    /// What it does, if it goes from test to test.
    pub pool: Option<PoolState>,
    /// Is it going away?
    pub is_deleting: bool,
}

/// The host does not list its clusters.
#[derive(Debug, thiserror::Error)]
#[error("could not list the clusters of the host")]
pub struct ListError(#[from] kube::Error);

/// All virtual clusters of a host, in the order of their names. Half-made and half-deleted ones too.
///
/// # Errors
/// The host does not answer.
pub async fn list(host: &Client) -> Result<Vec<ClusterRecord>, ListError> {
    let selector = format!(
        "{}={},{}",
        key::MANAGED_BY,
        key::MANAGED_BY_US,
        key::CLUSTER
    );
    let namespaces: Api<Namespace> = Api::all(host.clone());
    let found = namespaces
        .list(&ListParams::default().labels(&selector))
        .await?;
    let mut records: Vec<_> = found.iter().filter_map(ClusterRecord::of).collect();
    records.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(records)
}

impl ClusterRecord {
    /// What a namespace says; `None` when it is no cluster's.
    pub fn of(namespace: &Namespace) -> Option<Self> {
        let metadata = &namespace.metadata;
        let label = |key: &str| metadata.labels.as_ref()?.get(key);
        let annotation = |key: &str| metadata.annotations.as_ref()?.get(key);
        if label(key::MANAGED_BY)? != key::MANAGED_BY_US {
            return None;
        }
        Some(Self {
            name: label(key::CLUSTER)?.clone(),
            namespace: metadata.name.clone()?,
            distro: annotation(DISTRO).cloned(),
            version: annotation(VERSION).and_then(|version| version.parse().ok()),
            slice: annotation(SLICE).and_then(|slice| slice.parse().ok()),
            owner: owner(namespace),
            created: metadata.creation_timestamp.as_ref().map(|time| time.0),
            pool: PoolState::of(metadata),
            is_deleting: metadata.deletion_timestamp.is_some(),
        })
    }
}

fn owner(namespace: &Namespace) -> Option<Owner> {
    Owner::of(&namespace.metadata).unwrap_or_else(|error: owner::Error| {
        tracing::warn!(error = &error as &dyn std::error::Error, "no owner");
        None
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        cluster::{names::Names, objects},
        slice::{Addressing, Slice},
    };

    fn made() -> Namespace {
        let names = Names::new("web", "vc-web").unwrap();
        let version = "1.34.2".parse().unwrap();
        objects::namespace(&names, "k8s", version, &Owner::standing(), None)
    }

    #[test]
    fn what_is_written_reads_back() {
        let record = ClusterRecord::of(&made()).unwrap();
        assert_eq!(
            record,
            ClusterRecord {
                name: "web".to_owned(),
                namespace: "vc-web".to_owned(),
                distro: Some("k8s".to_owned()),
                version: Some("1.34.2".parse().unwrap()),
                slice: None,
                owner: Some(Owner::standing()),
                created: None,
                pool: None,
                is_deleting: false,
            }
        );
    }

    #[test]
    fn the_slice_reads_back() {
        let network = "10.96.17.0/24".parse().unwrap();
        let patch = objects::slice_patch(&Addressing::Slice(Slice::new(network), None));
        let mut namespace = made();
        let added: Namespace = serde_json::from_value(patch).unwrap();
        let annotations = namespace.metadata.annotations.as_mut().unwrap();
        annotations.extend(added.metadata.annotations.unwrap());
        assert_eq!(ClusterRecord::of(&namespace).unwrap().slice, Some(network));
    }

    #[test]
    fn a_namespace_of_somebody_else_is_no_cluster() {
        let mut namespace = made();
        namespace.metadata.labels = None;
        assert_eq!(ClusterRecord::of(&namespace), None);
    }

    #[test]
    fn an_unreadable_owner_does_not_hide_the_cluster() {
        let mut namespace = made();
        let annotations = namespace.metadata.annotations.as_mut().unwrap();
        annotations.insert(key::OWNER.to_owned(), "nobody".to_owned());
        assert_eq!(ClusterRecord::of(&namespace).unwrap().owner, None);
    }
}
