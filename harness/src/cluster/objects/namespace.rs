//! The namespace that holds a cluster, and is its record.

use k8s_openapi::{api::core::v1::Namespace, apimachinery::pkg::apis::meta::v1::ObjectMeta};
use serde_json::json;

use crate::{
    cluster::names::{DISTRO, Names, SLICE, VERSION},
    owner::Owner,
    pool::{self, PoolKey, Standing},
    slice::Addressing,
    version::KubernetesVersion,
};

pub(in crate::cluster) fn namespace(
    names: &Names,
    distro: &str,
    version: KubernetesVersion,
    owner: &Owner,
    pool: Option<(&PoolKey, Standing)>,
) -> Namespace {
    let mut labels = names.labels();
    if let Some((key, standing)) = pool {
        labels.extend(pool::labels(key, standing));
    }
    labels.extend(owner.labels());
    let mut annotations = owner.annotations();
    annotations.insert(DISTRO.to_owned(), distro.to_owned());
    annotations.insert(VERSION.to_owned(), version.to_string());
    Namespace {
        metadata: ObjectMeta {
            name: Some(names.namespace().to_owned()),
            labels: Some(labels),
            annotations: Some(annotations),
            ..ObjectMeta::default()
        },
        ..Namespace::default()
    }
}

/// A merge patch that records which version the cluster has.
pub(in crate::cluster) fn version_patch(version: KubernetesVersion) -> serde_json::Value {
    json!({ "metadata": { "annotations": { VERSION: version.to_string() } } })
}

/// A merge patch that records which addresses the cluster has. Of those of a second family the Service is the record.
pub(in crate::cluster) fn slice_patch(addressing: &Addressing) -> serde_json::Value {
    json!({ "metadata": { "annotations": { SLICE: addressing.ranges().first.to_string() } } })
}
