//! Label and annotation keys on host objects, and the names under which this syncer writes.

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
/// Annotation on virtual config maps and secrets: sync although nothing uses them.
pub const FORCE_SYNC: &str = "vcluster.loft.sh/force-sync";

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
}
