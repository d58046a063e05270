//! Requests to the host that make a cluster's objects.

use std::fmt::Debug;

use k8s_openapi::{
    api::core::v1::Namespace,
    serde::{Serialize, de::DeserializeOwned},
};
use kube::{
    Api, Client, Resource,
    api::{Patch, PatchParams, PostParams},
    core::{NamespaceResourceScope, PartialObjectMeta},
};

use super::{
    error::{Cause, request},
    names::Names,
};
use crate::deadline::Deadline;

const FIELD_MANAGER: &str = "vcluster-test";

/// What a request can carry to the host and back.
pub(super) trait Object:
    Resource<DynamicType = ()> + Clone + Debug + Serialize + DeserializeOwned
{
}

impl<K> Object for K where
    K: Resource<DynamicType = ()> + Clone + Debug + Serialize + DeserializeOwned
{
}

/// Makes objects of one cluster on its host.
#[derive(Clone, Copy)]
pub(super) struct Requests<'a> {
    pub(super) host: &'a Client,
    pub(super) names: &'a Names,
}

impl Requests<'_> {
    /// Makes the namespace; `None` when there is one that is being deleted.
    pub(super) async fn namespace(self, namespace: &Namespace) -> Result<Option<Namespace>, Cause> {
        let api: Api<Namespace> = Api::all(self.host.clone());
        let name = self.names.namespace();
        match api.create(&parameters(), namespace).await {
            Ok(created) => Ok(Some(created)),
            Err(kube::Error::Api(status)) if status.code == 409 => {
                let found = api.get_metadata_opt(name).await;
                let found = found.map_err(request(format!("read namespace {name} on host")))?;
                let stays = |found: &PartialObjectMeta<Namespace>| {
                    found.metadata.deletion_timestamp.is_none()
                };
                if found.as_ref().is_some_and(stays) {
                    return Err(self.exists());
                }
                Ok(None)
            }
            Err(error) => Err(request(format!("create namespace {name} on host"))(error)),
        }
    }

    pub(super) fn exists(self) -> Cause {
        Cause::Exists {
            namespace: self.names.namespace().to_owned(),
        }
    }

    /// Adds to what the namespace says of the cluster.
    pub(super) async fn annotate(self, patch: &serde_json::Value) -> Result<(), Cause> {
        let api: Api<Namespace> = Api::all(self.host.clone());
        let name = self.names.namespace();
        api.patch(name, &PatchParams::default(), &Patch::Merge(patch))
            .await
            .map(drop)
            .map_err(request(format!("annotate namespace {name} on host")))
    }

    pub(super) async fn create<K>(self, object: &K) -> Result<(), Cause>
    where
        K: Object + Resource<Scope = NamespaceResourceScope>,
    {
        let api = Api::namespaced(self.host.clone(), self.names.namespace());
        Box::pin(create(&api, object)).await
    }

    pub(super) async fn create_all<K>(self, objects: &[K]) -> Result<(), Cause>
    where
        K: Object + Resource<Scope = NamespaceResourceScope>,
    {
        for object in objects {
            self.create(object).await?;
        }
        Ok(())
    }

    pub(super) async fn create_if_some<K>(self, object: Option<&K>) -> Result<(), Cause>
    where
        K: Object + Resource<Scope = NamespaceResourceScope>,
    {
        match object {
            Some(object) => self.create(object).await,
            None => Ok(()),
        }
    }

    pub(super) async fn create_global<K>(self, object: &K) -> Result<(), Cause>
    where
        K: Object,
    {
        Box::pin(create(&Api::all(self.host.clone()), object)).await
    }
}

async fn create<K: Object>(api: &Api<K>, object: &K) -> Result<(), Cause> {
    let kind = K::kind(&()).to_lowercase();
    let name = object.meta().name.as_deref().unwrap_or_default();
    api.create(&parameters(), object)
        .await
        .map(drop)
        .map_err(request(format!("create {kind} {name} on host")))
}

/// Requests have no limit of their own.
pub(super) async fn within<T>(
    deadline: Deadline,
    requests: impl Future<Output = Result<T, Cause>>,
) -> Result<T, Cause> {
    tokio::time::timeout_at(deadline.instant(), requests)
        .await
        .unwrap_or_else(|_| {
            Err(Cause::TimedOut {
                awaited: "the host's API server",
                limit: deadline.limit(),
                last_seen: "no answer to a request".to_owned(),
            })
        })
}

fn parameters() -> PostParams {
    PostParams {
        field_manager: Some(FIELD_MANAGER.to_owned()),
        ..PostParams::default()
    }
}
