//! What a synced resource must say about itself: how it looks on the host, and defaults for the rest.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Debug,
    net::IpAddr,
    sync::Arc,
};

use k8s_openapi::{
    ClusterResourceScope, NamespaceResourceScope,
    api::core::v1::{Node, PersistentVolume, PersistentVolumeClaim, Service},
    apimachinery::pkg::apis::meta::v1::OwnerReference,
};
use kube::{Api, Client, Resource, core::Status};
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    caches::Caches,
    config::{self, SyncConfig},
    metadata,
    naming::NameTranslator,
    object_key::ObjectKey,
    plan::{self, Step, Twins},
};

/// One resource that goes from the virtual cluster to the host.
pub trait ResourceSyncer: Send + Sync + 'static {
    /// The kind, the same on both sides.
    type Object: Synced;

    /// The host object it asks for.
    fn to_host(object: &Self::Object, cx: &Translation) -> Result<Self::Object, TranslateError>;

    /// Does this virtual object belong on the host? It does unless another controller looks after it.
    fn selects(object: &Self::Object, _cx: &Translation) -> bool {
        !metadata::is_controlled_elsewhere(object)
    }

    /// The virtual object as the host's news make it. Of most resources the host has none.
    fn to_virtual(
        _host: &Self::Object,
        _object: &Self::Object,
        _cx: &Translation,
    ) -> Option<Self::Object> {
        None
    }

    /// Which other virtual objects must be there for it to work?
    fn references(_object: &Self::Object) -> Vec<Reference> {
        Vec::new()
    }

    /// What the other functions must know of the objects around this one.
    fn surroundings(_key: &ObjectKey, _caches: &Caches) -> Surroundings {
        Surroundings::default()
    }

    /// Is the whole twin kept in shape by server-side apply? If only some fields of it are ever
    /// patched, it can be made by a plain request, which costs the host much less.
    fn is_applied() -> bool {
        true
    }

    /// What to do about a pair of twins. Most resources follow the usual rules.
    fn plan(
        twins: &Twins<Self::Object>,
        cx: &Translation,
    ) -> Result<Vec<Step<Self::Object>>, TranslateError>
    where
        Self: Sized,
    {
        plan::plan::<Self>(twins, cx)
    }

    /// What of an object that goes to the host stays behind, and why; the tenant is told.
    fn withheld(_object: &Self::Object, _cx: &Translation) -> Option<String> {
        None
    }

    /// What helps when the host refuses the twin of `object`, if anything but the tenant does.
    fn after_refusal(_object: &Self::Object, _refusal: &Status) -> Option<Step<Self::Object>> {
        None
    }

    /// Is the twin bound to one uid, so that it goes when the virtual object is another one under
    /// the same name?
    fn is_bound_to_uid() -> bool {
        true
    }
}

/// What translation may know: plain data.
#[derive(Debug, Clone)]
pub struct Translation {
    /// Names and label keys.
    pub names: NameTranslator,
    /// The cluster.
    pub facts: Arc<ClusterFacts>,
    /// The objects around the one that is translated.
    pub around: Surroundings,
}

/// What never changes while a cluster lives.
#[derive(Debug, Clone, PartialEq)]
pub struct ClusterFacts {
    /// The DNS domain inside the virtual cluster.
    pub domain: String,
    /// The address of its DNS service, the same on both sides; none when it runs no DNS.
    pub dns: Option<IpAddr>,
    /// The address of its API server, the same on both sides.
    pub api: IpAddr,
    /// The host account of the tenant's pods.
    pub workload_service_account: String,
    /// The image that puts a pod's own names into its `/etc/hosts`; none where that is not wanted.
    pub hosts_image: Option<String>,
    /// What is synced.
    pub sync: config::Sync,
    /// What owns the tenant's objects that are in no namespace of the host.
    pub owner: Option<OwnerReference>,
}

impl From<&SyncConfig> for ClusterFacts {
    fn from(config: &SyncConfig) -> Self {
        Self {
            domain: config.cluster_domain.clone(),
            dns: config.coredns_image.is_some().then_some(config.dns_address),
            api: config.api_address,
            workload_service_account: config.workload_service_account.clone(),
            hosts_image: config
                .syncer_image
                .clone()
                .filter(|_| config.sync.to_host.pods.rewrite_hosts.enabled),
            sync: config.sync.clone(),
            owner: config
                .host_namespace_uid
                .as_ref()
                .map(|uid| OwnerReference {
                    api_version: "v1".to_owned(),
                    kind: "Namespace".to_owned(),
                    name: config.host_namespace.clone(),
                    uid: uid.clone(),
                    ..OwnerReference::default()
                }),
        }
    }
}

/// What one object's neighbours say. Each resource fills in what it needs and nothing else.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Surroundings {
    /// Labels of the object's virtual namespace.
    pub namespace_labels: BTreeMap<String, String>,
    /// The virtual volume that the object is bound to, or names.
    pub volume: Option<Arc<PersistentVolume>>,
    /// The tenant wrote volumes of the object's class.
    pub has_own_volumes: bool,
    /// The virtual claim that the object is bound to.
    pub claim: Option<Arc<PersistentVolumeClaim>>,
    /// Virtual services that matter to the object.
    pub services: Vec<Arc<Service>>,
    /// The addresses of the tenant's pods.
    pub own_addresses: BTreeSet<IpAddr>,
    /// Another object refers to this one.
    pub is_referenced: bool,
    /// The node that the host chose exists in the virtual cluster.
    pub has_virtual_node: bool,
    /// The host's node that the tenant chose.
    pub chosen_node: Option<Arc<Node>>,
    /// Referenced virtual objects whose twin is not on the host yet.
    pub pending: Vec<Reference>,
}

/// A virtual object that another one needs on the host.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reference {
    /// Its kind.
    pub kind: Kind,
    /// Its key.
    pub key: ObjectKey,
}

/// The kinds that others refer to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Config maps.
    ConfigMap,
    /// Secrets.
    Secret,
    /// Volume claims.
    PersistentVolumeClaim,
    /// Service accounts.
    ServiceAccount,
    /// Priority classes.
    PriorityClass,
}

/// Why a virtual object has no twin. It is the tenant's to mend, so it becomes an event.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TranslateError {
    /// Objects that the API server returned have a name.
    #[error("the object has no name")]
    Nameless,
    /// An object that would outlive the cluster.
    #[error("the syncer does not know what should own the object on the host")]
    Ownerless,
    /// A field asks for something that cannot be had.
    #[error("{field} {problem}")]
    Unsupported {
        /// Where.
        field: String,
        /// What is wrong, after the field's name.
        problem: String,
    },
}

/// Kinds that can be synced: everything the engine asks of a type.
pub trait Synced:
    Resource<DynamicType = ()>
    + k8s_openapi::Resource
    + Clone
    + Debug
    + PartialEq
    + Serialize
    + DeserializeOwned
    + Send
    + Sync
    + 'static
{
    /// The API for this kind, in a namespace where the kind has one, else everywhere.
    fn api(client: &Client, namespace: Option<&str>) -> Api<Self>;

    /// Are objects of this kind in namespaces?
    fn is_namespaced() -> bool;
}

impl<K> Synced for K
where
    K: Resource<DynamicType = ()>
        + k8s_openapi::Resource
        + Clone
        + Debug
        + PartialEq
        + Serialize
        + DeserializeOwned
        + Send
        + Sync
        + 'static,
    <K as Resource>::Scope: ApiOfScope<K>,
{
    fn api(client: &Client, namespace: Option<&str>) -> Api<Self> {
        match namespace {
            Some(namespace) => <K as Resource>::Scope::api(client, namespace),
            None => Api::all(client.clone()),
        }
    }

    fn is_namespaced() -> bool {
        <K as Resource>::Scope::IS_NAMESPACED
    }
}

/// Lets generic code make an [`Api`] for kinds of either scope.
pub trait ApiOfScope<K> {
    /// Is this the scope of kinds in namespaces?
    const IS_NAMESPACED: bool;

    /// The API within `namespace`, or the whole one for cluster-scoped kinds.
    fn api(client: &Client, namespace: &str) -> Api<K>;
}

impl<K> ApiOfScope<K> for NamespaceResourceScope
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
{
    const IS_NAMESPACED: bool = true;

    fn api(client: &Client, namespace: &str) -> Api<K> {
        Api::namespaced(client.clone(), namespace)
    }
}

impl<K> ApiOfScope<K> for ClusterResourceScope
where
    K: Resource<DynamicType = (), Scope = ClusterResourceScope>,
{
    const IS_NAMESPACED: bool = false;

    fn api(client: &Client, _: &str) -> Api<K> {
        Api::all(client.clone())
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::config::tests::config;

    /// The names that other tests translate with.
    pub(crate) fn names() -> NameTranslator {
        NameTranslator::new("test", "vcluster-test")
    }

    /// The translation that other tests start from.
    pub(crate) fn translation() -> Translation {
        let mut config = config();
        config.coredns_image = Some("coredns".to_owned());
        config.syncer_image = Some("syncer".to_owned());
        config.host_namespace_uid = Some("uid-of-namespace".to_owned());
        Translation {
            names: names(),
            facts: Arc::new(ClusterFacts::from(&config)),
            around: Surroundings::default(),
        }
    }

    #[test]
    fn a_cluster_without_dns_points_pods_nowhere() {
        assert_eq!(ClusterFacts::from(&config()).dns, None);
        assert!(translation().facts.dns.is_some());
    }
}
