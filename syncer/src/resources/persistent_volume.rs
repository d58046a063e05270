//! Volumes. Those that the host found for claims are shown in the virtual cluster: what the claim says,
//! and no more, since the host's own volumes are not the tenant's to see. Those that the tenant wrote
//! go to the host, if that is asked for, for its claims alone.

use k8s_openapi::{
    api::core::v1::{
        CSIPersistentVolumeSource, ObjectReference, PersistentVolume, PersistentVolumeClaim,
        PersistentVolumeSpec, PersistentVolumeStatus,
    },
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use kube::{Resource as _, ResourceExt as _};

use crate::{
    caches::Caches,
    metadata,
    naming::NameTranslator,
    object_key::ObjectKey,
    resource::{ResourceSyncer, Surroundings, TranslateError, Translation},
    resources::persistent_volume_secrets,
};

/// Who made the volume, as far as a tenant is told. No such driver runs anywhere.
const DRIVER: &str = "vcluster-test.dev";

/// Annotations by which volume controllers tell what they did.
const NEWS: &[&str] = &[
    "pv.kubernetes.io/bound-by-controller",
    "pv.kubernetes.io/provisioned-by",
];

/// Syncs the [`PersistentVolume`]s that the tenant wrote.
#[derive(Debug)]
pub struct PersistentVolumes;

impl ResourceSyncer for PersistentVolumes {
    type Object = PersistentVolume;

    fn selects(object: &PersistentVolume, _: &Translation) -> bool {
        !metadata::is_mirrored(object) && !metadata::is_controlled_elsewhere(object)
    }

    fn to_host(
        object: &PersistentVolume,
        cx: &Translation,
    ) -> Result<PersistentVolume, TranslateError> {
        let mut metadata = metadata::owned_to_host(&object.metadata, cx)?;
        if let Some(annotations) = &mut metadata.annotations {
            annotations.retain(|key, _| !NEWS.contains(&key.as_str()));
        }
        let mut spec = object.spec.clone();
        if let Some(spec) = &mut spec {
            persistent_volume_secrets::to_host(spec, &cx.names)?;
            let claim = spec.claim_ref.as_ref();
            spec.claim_ref = claim.map(|claim| claim_to_host(claim, &cx.names));
            let class = spec.storage_class_name.as_deref();
            spec.storage_class_name = Some(class_to_host(class, &cx.names));
        }
        Ok(PersistentVolume {
            metadata,
            spec,
            status: None,
        })
    }

    /// The claim that the host bound it to, and its phase.
    fn to_virtual(
        host: &PersistentVolume,
        object: &PersistentVolume,
        cx: &Translation,
    ) -> Option<PersistentVolume> {
        let mut news = object.clone();
        if let (Some(spec), Some(claim)) = (&mut news.spec, &cx.around.claim) {
            spec.claim_ref = Some(reference_to(claim));
        }
        if host.status.is_some() {
            news.status.clone_from(&host.status);
        }
        Some(news)
    }

    fn surroundings(key: &ObjectKey, caches: &Caches) -> Surroundings {
        let claim = || {
            let host = caches.volumes.on_host.get(&caches.names.host_key(key))?;
            let reference = host.spec.as_ref()?.claim_ref.as_ref()?;
            let key = ObjectKey {
                namespace: reference.namespace.clone(),
                name: reference.name.clone()?,
            };
            let claim = caches.claims.on_host.get(&key)?;
            let identity = metadata::identity(claim.as_ref(), &caches.names)?;
            caches.claims.on_virtual.get(&identity.key)
        };
        Surroundings {
            claim: claim(),
            ..Surroundings::default()
        }
    }
}

/// The class on the host of volumes that the tenant wrote, and of claims on them. It is the tenant's
/// own, so that nobody else's claim ever binds such a volume.
pub(crate) fn class_to_host(class: Option<&str>, names: &NameTranslator) -> String {
    let class = class.filter(|class| !class.is_empty());
    names.cluster_scoped_host_name(class.unwrap_or("static"))
}

/// By name only: the host's claim has a uid of its own.
fn claim_to_host(claim: &ObjectReference, names: &NameTranslator) -> ObjectReference {
    let (name, namespace) = (claim.name.as_deref(), claim.namespace.as_deref());
    ObjectReference {
        api_version: claim.api_version.clone(),
        kind: claim.kind.clone(),
        name: name.map(|name| names.host_name(name, namespace.unwrap_or_default())),
        namespace: Some(names.host_namespace().to_owned()),
        ..ObjectReference::default()
    }
}

fn reference_to(claim: &PersistentVolumeClaim) -> ObjectReference {
    ObjectReference {
        // It changes with each of the claim's changes, and nobody compares it.
        resource_version: None,
        ..claim.object_ref(&())
    }
}

/// The name of the volume that a claim is bound to. One that it merely names is not shown.
pub(crate) fn volume_of(claim: &PersistentVolumeClaim) -> Option<&str> {
    if !claim
        .annotations()
        .contains_key("pv.kubernetes.io/bind-completed")
    {
        return None;
    }
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
    let metadata = ObjectMeta {
        name: Some(name.to_owned()),
        ..ObjectMeta::default()
    };
    PersistentVolume {
        metadata: metadata::mirrored(&metadata),
        spec: Some(PersistentVolumeSpec {
            access_modes: spec.access_modes,
            capacity,
            claim_ref: Some(reference_to(claim)),
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
    use crate::{metadata::tests::meta, resource::tests::translation};

    #[test]
    fn a_volume_is_as_large_as_its_claim_and_bound_to_it() {
        let mut claim = PersistentVolumeClaim {
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
        assert_eq!(
            volume_of(&claim),
            None,
            "it names the volume and has it not"
        );
        let done = "pv.kubernetes.io/bind-completed".to_owned();
        claim.annotations_mut().insert(done, "yes".to_owned());
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

    fn written_by_the_tenant() -> PersistentVolume {
        let mut metadata = meta("", "disk");
        metadata.namespace = None;
        PersistentVolume {
            metadata,
            spec: serde_json::from_value(json!({
                "storageClassName": "manual",
                "hostPath": {"path": "/data"},
                "claimRef": {"kind": "PersistentVolumeClaim", "name": "data", "namespace": "default", "uid": "virtual"},
            }))
            .unwrap(),
            status: None,
        }
    }

    #[test]
    fn a_volume_of_the_tenant_is_for_its_own_claims() {
        let host = PersistentVolumes::to_host(&written_by_the_tenant(), &translation()).unwrap();
        assert_eq!(host.name_any(), "vcluster-disk-x-vcluster-test-x-test");
        assert_eq!(host.owner_references().len(), 1, "it ends with the cluster");
        let spec = host.spec.unwrap();
        let class = spec.storage_class_name.unwrap();
        assert_eq!(class, "vcluster-manual-x-vcluster-test-x-test");
        let claim = spec.claim_ref.unwrap();
        assert_eq!(claim.name.as_deref(), Some("data-x-default-x-test"));
        assert_eq!(claim.namespace.as_deref(), Some("vcluster-test"));
        assert_eq!(claim.uid, None);
    }

    #[test]
    fn volumes_of_the_host_do_not_go_back() {
        let mut volume = written_by_the_tenant();
        assert!(PersistentVolumes::selects(&volume, &translation()));
        volume.metadata = metadata::mirrored(&volume.metadata);
        assert!(!PersistentVolumes::selects(&volume, &translation()));
    }
}
