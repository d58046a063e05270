//! Fields that only newer types of the Kubernetes API have. The syncer's program is built with the newest;
//! what the types of another build do not have is gone when an object is read, and so never on the host.

use k8s_openapi::{
    api::core::v1::{PodSpec, VolumeProjection},
    k8s_if_ge_1_34, k8s_if_ge_1_36, k8s_if_le_1_33, k8s_if_le_1_35,
};

k8s_if_ge_1_36! {
    /// Is the pod to be bound together with others?
    pub(super) fn is_of_a_group(spec: &PodSpec) -> bool {
        spec.scheduling_group.is_some()
    }

    /// Makes it a pod that is bound alone.
    pub(super) fn take_from_group(spec: &mut PodSpec) {
        spec.scheduling_group = None;
    }
}

k8s_if_le_1_35! {
    pub(super) fn is_of_a_group(_: &PodSpec) -> bool {
        false
    }

    pub(super) fn take_from_group(_: &mut PodSpec) {}
}

k8s_if_ge_1_34! {
    /// Does it ask for a certificate of the pod's own?
    pub(super) fn is_certificate(source: &VolumeProjection) -> bool {
        source.pod_certificate.is_some()
    }
}

k8s_if_le_1_33! {
    pub(super) fn is_certificate(_: &VolumeProjection) -> bool {
        false
    }
}
