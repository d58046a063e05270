//! What the host has of a cluster that is not in the cluster any more.

use std::{collections::HashSet, time::Duration};

use futures::future::try_join_all;
use k8s_openapi::{
    NamespaceResourceScope,
    api::core::v1::{ConfigMap, PersistentVolumeClaim, Pod, Secret, Service},
    serde::de::DeserializeOwned,
};
use kube::{Api, Client, Resource, ResourceExt as _, api::ListParams};
use vcluster_syncer::{labels, naming::NameTranslator};

use super::{ResetError, error::request};
use crate::{cluster::names::Names, deadline::Deadline};

/// How long between two looks. The host's kubelets take longer than that to end a pod.
const PAUSE: Duration = Duration::from_millis(50);

/// The two sides of one cluster.
pub(super) struct Remains<'a> {
    pub(super) on_host: &'a Client,
    pub(super) on_virtual: &'a Client,
    pub(super) names: &'a Names,
}

/// A host object, and the uid of what it was made for.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Twin {
    object: String,
    uid: String,
}

impl Remains<'_> {
    /// Waits until the syncer has taken all of it away and the host's kubelets have ended the pods.
    pub(super) async fn wait_until_gone(&self, deadline: Deadline) -> Result<(), ResetError> {
        loop {
            let objects = tokio::time::timeout_at(deadline.instant(), self.find()).await;
            let objects = objects.unwrap_or_else(|_| Ok(vec!["no answer".to_owned()]))?;
            if objects.is_empty() {
                return Ok(());
            }
            if deadline.is_over() {
                return Err(ResetError::Remains {
                    objects,
                    limit: deadline.limit(),
                });
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn find(&self) -> Result<Vec<String>, ResetError> {
        // The host first: what is made meanwhile has its twin in the later list.
        let twins = try_join_all([
            Box::pin(self.twins::<Pod>()) as futures::future::BoxFuture<'_, _>,
            Box::pin(self.twins::<Service>()),
            Box::pin(self.twins::<PersistentVolumeClaim>()),
            Box::pin(self.twins::<ConfigMap>()),
            Box::pin(self.twins::<Secret>()),
        ]);
        let twins = twins.await?.concat();
        if twins.is_empty() {
            return Ok(Vec::new());
        }
        let uids = try_join_all([
            Box::pin(self.uids::<Pod>()) as futures::future::BoxFuture<'_, _>,
            Box::pin(self.uids::<Service>()),
            Box::pin(self.uids::<PersistentVolumeClaim>()),
            Box::pin(self.uids::<ConfigMap>()),
            Box::pin(self.uids::<Secret>()),
        ]);
        Ok(left_over(twins, &uids.await?.concat()))
    }

    async fn twins<K>(&self) -> Result<Vec<Twin>, ResetError>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + DeserializeOwned,
        K: std::fmt::Debug,
    {
        let kind = K::kind(&());
        let names = NameTranslator::new(self.names.cluster(), self.names.namespace());
        let ours = format!("{}={}", labels::MANAGED_BY, names.managed_by());
        let api: Api<K> = Api::namespaced(self.on_host.clone(), self.names.namespace());
        let list = api
            .list_metadata(&ListParams::default().labels(&ours))
            .await
            .map_err(request(format!("list {kind} of the cluster on host")))?;
        let twins = list.items.iter().filter_map(|object| {
            let annotations = object.annotations();
            let uid = annotations
                .get(labels::OBJECT_UID)
                .or_else(|| annotations.get(labels::POD_UID))?;
            Some(Twin {
                object: format!("{kind} {}", object.name_any()),
                uid: uid.clone(),
            })
        });
        Ok(twins.collect())
    }

    async fn uids<K>(&self) -> Result<Vec<String>, ResetError>
    where
        K: Resource<DynamicType = ()> + Clone + DeserializeOwned + std::fmt::Debug,
    {
        let kind = K::kind(&());
        let api: Api<K> = Api::all(self.on_virtual.clone());
        let list = api
            .list_metadata(&ListParams::default())
            .await
            .map_err(request(format!("list {kind} of the virtual cluster")))?;
        Ok(list
            .items
            .iter()
            .filter_map(kube::ResourceExt::uid)
            .collect())
    }
}

fn left_over(twins: Vec<Twin>, uids: &[String]) -> Vec<String> {
    let uids: HashSet<_> = uids.iter().collect();
    let left = twins.into_iter().filter(|twin| !uids.contains(&twin.uid));
    left.map(|twin| twin.object).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_made_for_another_object_of_the_name_is_left_over() {
        let twin = |object: &str, uid: &str| Twin {
            object: object.to_owned(),
            uid: uid.to_owned(),
        };
        let twins = vec![twin("Pod a", "1"), twin("Pod b", "2")];
        let uids = ["2".to_owned(), "3".to_owned()];
        assert_eq!(left_over(twins, &uids), ["Pod a"]);
    }
}
