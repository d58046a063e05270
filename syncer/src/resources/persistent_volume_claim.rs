//! Claims go to the host, which finds or makes the volume; the virtual claim shows which.

use std::sync::Arc;

use k8s_openapi::api::core::v1::{
    PersistentVolume, PersistentVolumeClaim, PersistentVolumeClaimSpec, TypedLocalObjectReference,
    TypedObjectReference,
};
use kube::ResourceExt;

use crate::{
    caches::Caches,
    metadata,
    object_key::ObjectKey,
    plan,
    plan::{Step, Twins},
    resource::{ResourceSyncer, Surroundings, TranslateError, Translation},
    resources::persistent_volume,
    selector,
};

/// Says that the host's binder is done with a claim.
const BOUND: &str = "pv.kubernetes.io/bind-completed";
/// Annotations by which the host's volume controllers tell what they did.
const NEWS: &[&str] = &[
    BOUND,
    "pv.kubernetes.io/bound-by-controller",
    "volume.beta.kubernetes.io/storage-provisioner",
    "volume.kubernetes.io/storage-provisioner",
];
/// A scheduler writes here where the volume is to be.
const SELECTED_NODE: &str = "volume.kubernetes.io/selected-node";

/// Syncs [`PersistentVolumeClaim`].
#[derive(Debug)]
pub struct PersistentVolumeClaims;

impl ResourceSyncer for PersistentVolumeClaims {
    type Object = PersistentVolumeClaim;

    fn to_host(
        object: &PersistentVolumeClaim,
        cx: &Translation,
    ) -> Result<PersistentVolumeClaim, TranslateError> {
        // A scheduler of the tenant's says it for the host's.
        let chooses = cx.facts.sync.virtual_scheduler.enabled;
        let excluded = [NEWS, if chooses { &[] } else { &[SELECTED_NODE] }].concat();
        let metadata = metadata::to_host_without(&object.metadata, cx, &excluded)?;
        let spec = object.spec.as_ref();
        Ok(PersistentVolumeClaim {
            metadata,
            spec: spec
                .map(|spec| spec_to_host(object, spec, cx))
                .transpose()?,
            status: None,
        })
    }

    /// The volume that the host found, and how it is.
    fn to_virtual(
        host: &PersistentVolumeClaim,
        object: &PersistentVolumeClaim,
        cx: &Translation,
    ) -> Option<PersistentVolumeClaim> {
        let mut news = object.clone();
        let host_spec = host.spec.as_ref()?;
        let spec = news.spec.as_mut()?;
        if spec.storage_class_name.is_none() && !is_static(object, cx) {
            spec.storage_class_name
                .clone_from(&host_spec.storage_class_name);
        }
        if host_spec.volume_name.is_some() {
            let own = cx.around.volume.as_ref().map(|volume| volume.name_any());
            spec.volume_name = own.or_else(|| host_spec.volume_name.clone());
        }
        for key in NEWS {
            if let Some(value) = host.annotations().get(*key) {
                news.annotations_mut()
                    .insert((*key).to_owned(), value.clone());
            }
        }
        if host.status.is_some() {
            news.status.clone_from(&host.status);
        }
        Some(news)
    }

    /// The usual rules, but a claim that was bound is never made anew: its data is gone.
    fn plan(
        twins: &Twins<PersistentVolumeClaim>,
        cx: &Translation,
    ) -> Result<Vec<Step<PersistentVolumeClaim>>, TranslateError> {
        let delete = |object: &PersistentVolumeClaim| {
            Ok(vec![Step::DeleteVirtual {
                uid: object.uid().unwrap_or_default(),
                grace: 0,
            }])
        };
        match (&twins.virtual_object, &twins.host_object) {
            (Some(object), _) if plan::is_deleting(object.as_ref()) => {}
            (Some(object), None) if is_bound(object) => return delete(object),
            (Some(object), None) => refuse_choice(object, cx)?,
            (Some(object), Some(host))
                if plan::is_deleting(host.as_ref())
                    && plan::is_twin(object.as_ref(), host.as_ref()) =>
            {
                return delete(object);
            }
            // Its class never changes; while nothing is bound, another twin may have another one.
            (Some(object), Some(host)) if is_of_another_class(host, object, cx)? => {
                return Ok(plan::prune(host.as_ref()));
            }
            _ => {}
        }
        plan::plan::<Self>(twins, cx)
    }

    fn surroundings(key: &ObjectKey, caches: &Caches) -> Surroundings {
        let Some(claim) = caches.claims.on_virtual.get(key) else {
            return Surroundings::default();
        };
        let host = caches.claims.on_host.get(&caches.names.host_key(key));
        let bound = host.as_deref().and_then(volume_of).map(str::to_owned);
        let own = caches
            .volumes
            .on_virtual
            .filter(|volume| !metadata::is_mirrored(volume));
        let is_its = |volume: &&Arc<PersistentVolume>| {
            let name = volume.name_any();
            match &bound {
                Some(bound) => *bound == caches.names.cluster_scoped_host_name(&name),
                None => volume_of(&claim) == Some(&name),
            }
        };
        let has_its_class = |volume: &Arc<PersistentVolume>| {
            let class = volume
                .spec
                .as_ref()
                .and_then(|spec| spec.storage_class_name.clone());
            class.unwrap_or_default() == class_of(&claim).unwrap_or_default()
        };
        Surroundings {
            // What is bound stays bound, whatever volumes come.
            has_own_volumes: bound.is_none() && own.iter().any(has_its_class),
            volume: own.iter().find(is_its).cloned(),
            ..Surroundings::default()
        }
    }
}

/// The volume that a claim names, whoever wrote that.
fn volume_of(claim: &PersistentVolumeClaim) -> Option<&str> {
    let name = claim.spec.as_ref()?.volume_name.as_deref()?;
    (!name.is_empty()).then_some(name)
}

fn class_of(claim: &PersistentVolumeClaim) -> Option<String> {
    claim.spec.as_ref()?.storage_class_name.clone()
}

/// Is the claim one on volumes that the tenant wrote?
fn is_static(claim: &PersistentVolumeClaim, cx: &Translation) -> bool {
    let chooses = claim.spec.as_ref().is_some_and(|spec| {
        spec.selector.is_some() || spec.volume_name.is_some() && !is_bound(claim)
    });
    cx.facts.sync.to_host.persistent_volumes.enabled
        && (chooses || cx.around.volume.is_some() || cx.around.has_own_volumes)
}

fn spec_to_host(
    object: &PersistentVolumeClaim,
    spec: &PersistentVolumeClaimSpec,
    cx: &Translation,
) -> Result<PersistentVolumeClaimSpec, TranslateError> {
    let namespace = object.namespace().unwrap_or_default();
    let data_source = source_to_host(spec, &namespace, cx)?;
    let is_static = is_static(object, cx);
    let own = |spec: &PersistentVolumeClaimSpec| {
        let name = spec.volume_name.as_deref()?;
        Some(cx.names.cluster_scoped_host_name(name))
    };
    Ok(PersistentVolumeClaimSpec {
        // The same in a newer form, as API servers fill it in.
        data_source_ref: data_source.as_ref().map(|source| TypedObjectReference {
            api_group: source.api_group.clone(),
            kind: source.kind.clone(),
            name: source.name.clone(),
            namespace: None,
        }),
        data_source,
        // The host's volumes are not the tenant's to choose from.
        volume_name: own(spec).filter(|_| is_static),
        selector: spec
            .selector
            .as_ref()
            .filter(|_| is_static)
            .map(|selector| selector::cluster_scoped_to_host(selector, &cx.names)),
        storage_class_name: class_to_host(object, cx)?,
        ..spec.clone()
    })
}

fn class_to_host(
    claim: &PersistentVolumeClaim,
    cx: &Translation,
) -> Result<Option<String>, TranslateError> {
    let class = class_of(claim);
    match class.as_deref() {
        class if is_static(claim, cx) => {
            Ok(Some(persistent_volume::class_to_host(class, &cx.names)))
        }
        class if !cx.facts.sync.to_host.storage_classes.enabled => Ok(class.map(str::to_owned)),
        Some(class) => Ok(Some(cx.names.cluster_scoped_host_name(class))),
        None => Err(TranslateError::Unsupported {
            field: "spec.storageClassName".to_owned(),
            problem: "is missing, and no storage class of this cluster is the default".to_owned(),
        }),
    }
}

fn is_of_another_class(
    host: &PersistentVolumeClaim,
    object: &PersistentVolumeClaim,
    cx: &Translation,
) -> Result<bool, TranslateError> {
    let wanted = class_to_host(object, cx)?;
    Ok(volume_of(host).is_none() && wanted.is_some() && wanted != class_of(host))
}

/// The claim that this one is a copy of, in whichever of the two forms it is given.
fn source_to_host(
    spec: &PersistentVolumeClaimSpec,
    namespace: &str,
    cx: &Translation,
) -> Result<Option<TypedLocalObjectReference>, TranslateError> {
    let unsupported = |field: &str, problem: String| {
        let field = field.to_owned();
        Err(TranslateError::Unsupported { field, problem })
    };
    let (field, source) = match (&spec.data_source_ref, &spec.data_source) {
        (Some(source), _) => {
            let elsewhere = source.namespace.as_ref();
            if let Some(elsewhere) = elsewhere.filter(|it| !it.is_empty() && *it != namespace) {
                let problem = format!("is in namespace {elsewhere}, and data stays in its own");
                return unsupported("spec.dataSourceRef", problem);
            }
            let source = TypedLocalObjectReference {
                api_group: source.api_group.clone(),
                kind: source.kind.clone(),
                name: source.name.clone(),
            };
            ("spec.dataSourceRef", source)
        }
        (None, Some(source)) => ("spec.dataSource", source.clone()),
        (None, None) => return Ok(None),
    };
    let is_claim = source.kind == "PersistentVolumeClaim"
        && source.api_group.as_deref().is_none_or(str::is_empty);
    if !is_claim {
        let problem = format!("is a {}, which is not synced", source.kind);
        return unsupported(field, problem);
    }
    Ok(Some(TypedLocalObjectReference {
        name: cx.names.host_name(&source.name, namespace),
        ..source
    }))
}

fn is_bound(claim: &PersistentVolumeClaim) -> bool {
    claim.annotations().contains_key(BOUND)
}

/// A volume that the tenant names would be the host's, or another tenant's.
fn refuse_choice(claim: &PersistentVolumeClaim, cx: &Translation) -> Result<(), TranslateError> {
    if cx.facts.sync.to_host.persistent_volumes.enabled {
        return Ok(());
    }
    let unsupported = |field: &str| {
        Err(TranslateError::Unsupported {
            field: field.to_owned(),
            problem: "chooses a volume, and this cluster's volumes are not synced to the host"
                .to_owned(),
        })
    };
    match &claim.spec {
        Some(spec) if spec.selector.is_some() => unsupported("spec.selector"),
        Some(spec) if spec.volume_name.is_some() => unsupported("spec.volumeName"),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::{apimachinery::pkg::apis::meta::v1::Time, jiff::Timestamp};
    use rstest::rstest;
    use serde_json::{Value, json};

    use super::*;
    use crate::{metadata::tests::meta, resource::tests::translation};

    fn claim_with(more: &Value) -> PersistentVolumeClaim {
        let mut spec = json!({
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "1Gi"}},
        });
        spec.as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        PersistentVolumeClaim {
            metadata: meta("default", "data"),
            spec: serde_json::from_value(spec).unwrap(),
            status: None,
        }
    }

    fn claim() -> PersistentVolumeClaim {
        claim_with(&json!({}))
    }

    /// As the binder leaves it.
    fn bound(mut claim: PersistentVolumeClaim) -> PersistentVolumeClaim {
        claim
            .annotations_mut()
            .insert(BOUND.to_owned(), "yes".to_owned());
        let spec = claim.spec.as_mut().unwrap();
        spec.volume_name = Some("pvc-1".to_owned());
        spec.storage_class_name = Some("standard".to_owned());
        claim.status = serde_json::from_value(json!({"phase": "Bound"})).unwrap();
        claim
    }

    fn twin(claim: &PersistentVolumeClaim) -> PersistentVolumeClaim {
        let host = PersistentVolumeClaims::to_host(claim, &translation()).unwrap();
        let mut host = plan::stamped(host);
        host.metadata.uid = Some("uid-on-host".to_owned());
        host
    }

    fn going(mut claim: PersistentVolumeClaim) -> PersistentVolumeClaim {
        claim.metadata.deletion_timestamp = Some(Time(Timestamp::UNIX_EPOCH));
        claim
    }

    fn decide(
        object: Option<PersistentVolumeClaim>,
        host: Option<PersistentVolumeClaim>,
    ) -> Result<Vec<Step<PersistentVolumeClaim>>, TranslateError> {
        let twins = Twins {
            key: ObjectKey::namespaced("default", "data"),
            virtual_object: object.map(Arc::new),
            host_object: host.map(Arc::new),
        };
        PersistentVolumeClaims::plan(&twins, &translation())
    }

    #[test]
    fn the_host_finds_the_volume_and_the_tenant_sees_it() {
        let host = bound(twin(&claim()));
        let news = PersistentVolumeClaims::to_virtual(&host, &claim(), &translation()).unwrap();
        assert_eq!(news.annotations()[BOUND], "yes");
        assert_eq!(news.status, host.status);
        let spec = news.spec.unwrap();
        assert_eq!(spec.volume_name.as_deref(), Some("pvc-1"));
        assert_eq!(spec.storage_class_name.as_deref(), Some("standard"));
    }

    #[test]
    fn a_bound_pair_is_at_rest() {
        let object = bound(claim());
        let host = bound(twin(&object));
        assert_eq!(decide(Some(object), Some(host)), Ok(Vec::new()));
    }

    #[rstest]
    #[case::by_name(json!({"volumeName": "of-the-host"}), "spec.volumeName")]
    #[case::by_label(json!({"selector": {}}), "spec.selector")]
    #[case::a_snapshot(
        json!({"dataSource": {"apiGroup": "snapshot.storage.k8s.io", "kind": "VolumeSnapshot", "name": "x"}}),
        "spec.dataSource"
    )]
    #[case::what_fills_volumes(
        json!({"dataSourceRef": {"apiGroup": "example.com", "kind": "Image", "name": "x"}}),
        "spec.dataSourceRef"
    )]
    #[case::a_claim_elsewhere(
        json!({"dataSourceRef": {"kind": "PersistentVolumeClaim", "name": "x", "namespace": "kube-system"}}),
        "spec.dataSourceRef"
    )]
    #[case::what_only_looks_like_a_claim(
        json!({"dataSource": {"apiGroup": "example.com", "kind": "PersistentVolumeClaim", "name": "x"}}),
        "spec.dataSource"
    )]
    fn a_tenant_cannot_reach_for_the_hosts_volumes(#[case] spec: Value, #[case] expected: &str) {
        match decide(Some(claim_with(&spec)), None) {
            Err(TranslateError::Unsupported { field, .. }) => assert_eq!(field, expected),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_a_tenant_adds_later_does_not_reach_for_them_either() {
        let reaching = claim_with(&json!({"volumeName": "of-the-host", "selector": {}}));
        let spec = twin(&reaching).spec.unwrap();
        assert_eq!((spec.volume_name, spec.selector), (None, None));
    }

    #[rstest]
    #[case::as_it_was_once(&["dataSource"], None)]
    #[case::as_it_is_now(&["dataSourceRef"], None)]
    #[case::as_api_servers_fill_it_in(&["dataSource", "dataSourceRef"], None)]
    #[case::with_its_own_namespace(&["dataSourceRef"], Some("default"))]
    fn a_clone_is_of_the_tenants_own_claim(
        #[case] fields: &[&str],
        #[case] namespace: Option<&str>,
    ) {
        let source =
            json!({"kind": "PersistentVolumeClaim", "name": "first", "namespace": namespace});
        let spec = fields
            .iter()
            .map(|field| ((*field).to_owned(), source.clone()));
        let spec = twin(&claim_with(&Value::Object(spec.collect())))
            .spec
            .unwrap();
        let (source, reference) = (spec.data_source.unwrap(), spec.data_source_ref.unwrap());
        assert_eq!(source.name, "first-x-default-x-test");
        assert_eq!(reference.name, source.name);
        assert_eq!(reference.kind, "PersistentVolumeClaim");
        assert_eq!(reference.namespace, None);
    }

    #[test]
    fn a_claim_whose_data_is_gone_goes() {
        let goes = |object, host| {
            let steps = decide(Some(object), host).unwrap();
            matches!(steps.as_slice(), [Step::DeleteVirtual { .. }])
        };
        assert!(goes(bound(claim()), None));
        assert!(goes(claim(), Some(going(twin(&claim())))));
        assert_eq!(decide(Some(going(bound(claim()))), None), Ok(Vec::new()));
    }

    #[test]
    fn a_bigger_claim_gets_bigger() {
        let object = bound(claim());
        let host = bound(twin(&object));
        let mut bigger = object;
        let resources = json!({"requests": {"storage": "2Gi"}});
        bigger.spec.as_mut().unwrap().resources = serde_json::from_value(resources).unwrap();
        let steps = decide(Some(bigger), Some(host)).unwrap();
        assert!(matches!(steps.as_slice(), [Step::ApplyHost { .. }]));
    }

    #[test]
    fn volumes_of_the_tenant_may_be_chosen_under_their_hosts_names() {
        let mut cx = translation();
        Arc::make_mut(&mut cx.facts)
            .sync
            .to_host
            .persistent_volumes
            .enabled = true;
        let named = claim_with(&json!({"volumeName": "mine", "storageClassName": ""}));
        let spec = |claim| {
            let host = PersistentVolumeClaims::to_host(claim, &cx).unwrap();
            host.spec.unwrap()
        };
        let host = spec(&named);
        let (name, class) = (
            "vcluster-mine-x-vcluster-test-x-test",
            "vcluster-static-x-vcluster-test-x-test",
        );
        assert_eq!(host.volume_name.as_deref(), Some(name));
        assert_eq!(host.storage_class_name.as_deref(), Some(class));
        let selecting = claim_with(&json!({"selector": {"matchLabels": {"disk": "ssd"}}}));
        let selector = spec(&selecting).selector.unwrap().match_labels.unwrap();
        assert_eq!(selector["disk"], "ssd");
        assert_eq!(
            selector[crate::labels::MANAGED_BY],
            cx.names.managed_by_cluster_scoped()
        );
        // One that the host provisioned for stays as it is.
        let host = spec(&bound(claim()));
        assert_eq!(host.volume_name, None);
        assert_eq!(host.storage_class_name.as_deref(), Some("standard"));
    }

    #[test]
    fn a_class_of_the_tenant_has_the_hosts_name() {
        let mut cx = translation();
        Arc::make_mut(&mut cx.facts)
            .sync
            .to_host
            .storage_classes
            .enabled = true;
        let class = |claim| {
            let host = PersistentVolumeClaims::to_host(&claim, &cx)?;
            Ok::<_, TranslateError>(host.spec.unwrap().storage_class_name)
        };
        let fast = claim_with(&json!({"storageClassName": "fast"}));
        assert_eq!(
            class(fast),
            Ok(Some("vcluster-fast-x-vcluster-test-x-test".to_owned()))
        );
        assert!(class(claim()).is_err());
    }
}
