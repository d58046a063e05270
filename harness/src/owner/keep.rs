//! Changes the owner of a cluster that exists.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Namespace;
use kube::{
    Api, Client,
    api::{Patch, PatchParams},
};

use super::record::{self, Owner};

/// An owner that could not be changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ChangeError {
    /// The namespace cannot be read.
    #[error("could not read namespace {namespace} on host")]
    Get {
        /// Which.
        namespace: String,
        /// Why.
        source: kube::Error,
    },
    /// Its owner cannot be read.
    #[error(transparent)]
    Owner(#[from] record::Error),
    /// It has none.
    #[error("namespace {namespace} on host has no owner")]
    NotOwned {
        /// Which.
        namespace: String,
    },
    /// The namespace cannot be changed.
    #[error("could not change the owner of namespace {namespace} on host")]
    Patch {
        /// Which.
        namespace: String,
        /// Why.
        source: kube::Error,
    },
}

/// Unties a cluster from its process: it stays until `until`, whatever becomes of the process.
///
/// # Errors
/// The namespace has no owner, or the host refuses.
pub async fn keep(host: &Client, namespace: &str, until: Timestamp) -> Result<(), ChangeError> {
    let api = Api::<Namespace>::all(host.clone());
    let object = api
        .get(namespace)
        .await
        .map_err(|source| ChangeError::Get {
            namespace: namespace.to_owned(),
            source,
        })?;
    change(host, &object, |owner| owner.kept_until(until)).await
}

/// Gives an object as it was read another owner; fails with a conflict when it has changed since.
pub(crate) async fn change(
    host: &Client,
    object: &Namespace,
    change: impl FnOnce(Owner) -> Owner,
) -> Result<(), ChangeError> {
    let namespace = object.metadata.name.clone().unwrap_or_default();
    let Some(owner) = Owner::of(&object.metadata)? else {
        return Err(ChangeError::NotOwned { namespace });
    };
    let mut patch = change(owner).patch();
    patch["metadata"]["resourceVersion"] = object.metadata.resource_version.clone().into();
    Api::<Namespace>::all(host.clone())
        .patch(&namespace, &PatchParams::default(), &Patch::Merge(patch))
        .await
        .map(drop)
        .map_err(|source| ChangeError::Patch { namespace, source })
}
