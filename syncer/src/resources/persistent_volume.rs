//! The virtual volume that a bound claim has: what the claim says of it, and no more. The host's own
//! volume is not the tenant's to see.

use k8s_openapi::{
    api::core::v1::{
        CSIPersistentVolumeSource, PersistentVolume, PersistentVolumeClaim, PersistentVolumeSpec,
        PersistentVolumeStatus,
    },
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use kube::Resource as _;

use crate::metadata;

/// Who made the volume, as far as a tenant is told. No such driver runs anywhere.
const DRIVER: &str = "vcluster-test.dev";

/// The name of the volume that a claim is bound to.
pub(crate) fn volume_of(claim: &PersistentVolumeClaim) -> Option<&str> {
    let name = claim.spec.as_ref()?.volume_name.as_deref()?;
    (!name.is_empty()).then_some(name)
}

/// The volume called `name`, bound to `claim`.
pub(crate) fn of_claim(claim: &PersistentVolumeClaim, name: &str) -> PersistentVolume {
    let spec = claim.spec.clone().unwrap_or_default();
    let status = claim.status.as_ref();
    let capacity = status
        .and_then(|status| status.capacity.clone())
        .or_else(|| spec.resources.and_then(|resources| resources.requests));
    let mut reference = claim.object_ref(&());
    // It changes with each of the claim's changes, and nobody compares it.
    reference.resource_version = None;
    let metadata = ObjectMeta {
        name: Some(name.to_owned()),
        ..ObjectMeta::default()
    };
    PersistentVolume {
        metadata: metadata::mirrored(&metadata),
        spec: Some(PersistentVolumeSpec {
            access_modes: spec.access_modes,
            capacity,
            claim_ref: Some(reference),
            csi: Some(CSIPersistentVolumeSource {
                driver: DRIVER.to_owned(),
                volume_handle: name.to_owned(),
                ..CSIPersistentVolumeSource::default()
            }),
            persistent_volume_reclaim_policy: Some("Delete".to_owned()),
            storage_class_name: spec.storage_class_name,
            volume_mode: spec.volume_mode,
            ..PersistentVolumeSpec::default()
        }),
        status: Some(PersistentVolumeStatus {
            phase: Some("Bound".to_owned()),
            ..PersistentVolumeStatus::default()
        }),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::metadata::tests::meta;

    #[test]
    fn a_volume_is_as_large_as_its_claim_and_bound_to_it() {
        let claim = PersistentVolumeClaim {
            metadata: meta("default", "data"),
            spec: serde_json::from_value(json!({
                "accessModes": ["ReadWriteOnce"],
                "resources": {"requests": {"storage": "1Gi"}},
                "storageClassName": "standard",
                "volumeMode": "Filesystem",
                "volumeName": "pvc-1",
            }))
            .unwrap(),
            status: None,
        };
        assert_eq!(volume_of(&claim), Some("pvc-1"));
        let volume = of_claim(&claim, "pvc-1");
        let spec = volume.spec.unwrap();
        assert_eq!(spec.capacity.unwrap()["storage"].0, "1Gi");
        assert_eq!(spec.storage_class_name.as_deref(), Some("standard"));
        let claim_ref = spec.claim_ref.unwrap();
        assert_eq!(claim_ref.uid.as_deref(), Some("uid-of-data"));
        assert_eq!(claim_ref.name.as_deref(), Some("data"));
        assert_eq!(volume.status.unwrap().phase.as_deref(), Some("Bound"));
    }

    #[test]
    fn a_claim_without_a_volume_names_none() {
        let mut claim = PersistentVolumeClaim::default();
        assert_eq!(volume_of(&claim), None);
        claim.spec.get_or_insert_default().volume_name = Some(String::new());
        assert_eq!(volume_of(&claim), None);
    }
}
