//! Accounts and rights on the host: the syncer's, as few as its configuration needs, and none for
//! the tenant's pods.

use k8s_openapi::{
    api::{
        core::v1::{Namespace, ServiceAccount},
        rbac::v1::{ClusterRole, ClusterRoleBinding, Role, RoleBinding, RoleRef, Subject},
    },
    apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference},
};
use vcluster_syncer::{config::SyncConfig, rbac};

use crate::cluster::names::Names;

const GROUP: &str = "rbac.authorization.k8s.io";

/// All objects that give or deny rights.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::cluster) struct Access {
    pub(in crate::cluster) accounts: [ServiceAccount; 2],
    pub(in crate::cluster) role: Role,
    pub(in crate::cluster) role_binding: RoleBinding,
    pub(in crate::cluster) cluster_role: ClusterRole,
    pub(in crate::cluster) cluster_role_binding: ClusterRoleBinding,
}

/// The cluster-scoped ones are owned by `namespace`, so that they end with it.
pub(in crate::cluster) fn access(
    names: &Names,
    namespace: &Namespace,
    config: &SyncConfig,
) -> Access {
    let syncer = names.syncer();
    let account = |name: String| ServiceAccount {
        metadata: names.metadata(name),
        automount_service_account_token: Some(false),
        ..ServiceAccount::default()
    };
    let subjects = Some(vec![Subject {
        kind: "ServiceAccount".to_owned(),
        name: syncer.clone(),
        namespace: Some(names.namespace().to_owned()),
        ..Subject::default()
    }]);
    let reference = |kind: &str| RoleRef {
        api_group: GROUP.to_owned().into(),
        kind: kind.to_owned(),
        name: syncer.clone(),
    };
    let cluster_scoped = ObjectMeta {
        namespace: None,
        owner_references: owner(namespace).map(|owner| vec![owner]),
        ..names.metadata(syncer.clone())
    };
    Access {
        accounts: [
            account(syncer.clone()),
            account(config.workload_service_account.clone()),
        ],
        role: Role {
            metadata: names.metadata(syncer.clone()),
            rules: Some(rbac::role_rules(config)),
        },
        role_binding: RoleBinding {
            metadata: names.metadata(syncer.clone()),
            role_ref: reference("Role"),
            subjects: subjects.clone(),
        },
        cluster_role: ClusterRole {
            metadata: cluster_scoped.clone(),
            rules: Some(rbac::cluster_role_rules(config)),
            ..ClusterRole::default()
        },
        cluster_role_binding: ClusterRoleBinding {
            metadata: cluster_scoped,
            role_ref: reference("ClusterRole"),
            subjects,
        },
    }
}

fn owner(namespace: &Namespace) -> Option<OwnerReference> {
    Some(OwnerReference {
        api_version: "v1".to_owned(),
        kind: "Namespace".to_owned(),
        name: namespace.metadata.name.clone()?,
        uid: namespace.metadata.uid.clone()?,
        ..OwnerReference::default()
    })
}
