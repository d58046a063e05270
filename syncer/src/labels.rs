//! Label and annotation keys on host objects, and the names under which this syncer writes.

use kube::ResourceExt;

/// Host objects: the virtual cluster they belong to.
pub const MANAGED_BY: &str = "vcluster.loft.sh/managed-by";
/// Host objects: the virtual namespace of their twin.
pub const NAMESPACE: &str = "vcluster.loft.sh/namespace";
/// Objects that another controller looks after; this syncer leaves them alone.
pub const CONTROLLED_BY: &str = "vcluster.loft.sh/controlled-by";

/// Annotation: the twin's name.
pub const OBJECT_NAME: &str = "vcluster.loft.sh/object-name";
/// Annotation: the twin's namespace; absent for cluster-scoped objects.
pub const OBJECT_NAMESPACE: &str = "vcluster.loft.sh/object-namespace";
/// Annotation: the twin's uid.
pub const OBJECT_UID: &str = "vcluster.loft.sh/object-uid";
/// Annotation: the twin's group, version and kind; protects against copied annotations.
pub const OBJECT_KIND: &str = "vcluster.loft.sh/object-kind";
/// Annotation: the host object's own name; another value means that the annotations were copied.
pub const OBJECT_HOST_NAME: &str = "vcluster.loft.sh/object-host-name";
/// Annotation: the host object's own namespace.
pub const OBJECT_HOST_NAMESPACE: &str = "vcluster.loft.sh/object-host-namespace";
/// Annotation: a digest of what was last applied, which tells when something was taken away.
pub const APPLIED: &str = "vcluster-test.dev/applied";
/// Annotation on host pods: a digest of the resources that the virtual pod's containers ask for.
pub const RESOURCES: &str = "vcluster-test.dev/resources";
/// Annotation on virtual pods: their own names in `/etc/hosts` stay as the host wrote them.
pub const KEEP_HOSTS: &str = "vcluster.loft.sh/disable-subdomain-rewrite";
/// Annotation on virtual config maps and secrets: sync although nothing uses them.
pub const FORCE_SYNC: &str = "vcluster.loft.sh/force-sync";

/// Label on virtual objects that were brought from the host.
pub const MIRRORED: &str = "vcluster-test.dev/from-host";
/// Annotation on virtual nodes: the taints that are the host's, where others are the tenant's.
pub const ORIGINAL_TAINTS: &str = "vcluster.loft.sh/original-taints";
/// Label on virtual nodes that show nothing of the host's node.
pub const MADE_UP: &str = "vcluster-test.dev/made-up";
/// Label on host secrets that hold the tokens of a pod.
pub const TOKENS: &str = "vcluster-test.dev/tokens";
/// Annotation on such a secret: when its tokens must be renewed.
pub const RENEW_AT: &str = "vcluster-test.dev/renew-at";

/// Annotation on host pods: the label keys that came from the virtual pod, a line each.
pub const MANAGED_LABELS: &str = "vcluster.loft.sh/managed-labels";
/// Annotation on host pods: the annotation keys that came from the virtual pod, a line each.
pub const MANAGED_ANNOTATIONS: &str = "vcluster.loft.sh/managed-annotations";

/// Pod annotation, read by the downward API: the virtual name.
pub const POD_NAME: &str = "vcluster.loft.sh/name";
/// Pod annotation, read by the downward API: the virtual namespace.
pub const POD_NAMESPACE: &str = "vcluster.loft.sh/namespace";
/// Pod annotation, read by the downward API: the virtual uid.
pub const POD_UID: &str = "vcluster.loft.sh/uid";
/// Pod annotation, read by the downward API: the virtual service account.
pub const POD_SERVICE_ACCOUNT: &str = "vcluster.loft.sh/service-account-name";
/// Pod annotation, read by the downward API: the virtual labels as the kubelet prints them.
pub const POD_LABELS: &str = "vcluster.loft.sh/labels";
/// Pod annotation: the kind of the controller that owns the virtual pod.
pub const POD_OWNER_KIND: &str = "vcluster.loft.sh/owner-set-kind";

/// Before the hash of a virtual label key that cannot appear on the host as it is.
pub const TRANSLATED_PREFIX: &str = "vcluster.loft.sh/label";
/// Before the hash of a label key of the virtual namespace.
pub const NAMESPACE_LABEL_PREFIX: &str = "vcluster.loft.sh/ns-label";

/// The prefix of this project's own keys.
pub const OWN_PREFIX: &str = "vcluster-test.dev/";

/// Field manager of what is written to the host.
pub const HOST_FIELD_MANAGER: &str = "vcluster-syncer-host";
/// Field manager of what is written to the virtual cluster.
pub const VIRTUAL_FIELD_MANAGER: &str = "vcluster-syncer-virtual";

/// Does a label of this key mean something to the objects around the syncer, so that a tenant's
/// label must not appear under it?
pub fn is_reserved(key: &str) -> bool {
    key == "release"
        || key == MANAGED_BY
        || key == NAMESPACE
        || key == CONTROLLED_BY
        || key.starts_with(OWN_PREFIX)
        // What appears under these comes from another key, or from the namespace.
        || key.starts_with(TRANSLATED_PREFIX)
        || key.starts_with(NAMESPACE_LABEL_PREFIX)
}

/// Did the tenant ask for this object to be synced although nothing uses it?
pub fn is_forced<K: ResourceExt>(object: &K) -> bool {
    object
        .annotations()
        .get(FORCE_SYNC)
        .is_some_and(|value| value == "true")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenant_cannot_pose_as_the_control_plane() {
        assert!(is_reserved("vcluster-test.dev/control-plane"));
        assert!(is_reserved("vcluster.loft.sh/managed-by"));
        assert!(!is_reserved("app.kubernetes.io/managed-by"));
    }

    #[test]
    fn a_pod_cannot_pose_as_one_of_another_namespace() {
        assert!(is_reserved("vcluster.loft.sh/ns-label-test-x-a172cedcae"));
        assert!(is_reserved("vcluster.loft.sh/label-test-x-a172cedcae"));
    }
}
