//! Endpoints that the tenant writes, for services without a selector. All others the host finds
//! itself.

use k8s_openapi::api::core::v1::{EndpointAddress, EndpointSubset, Endpoints, ObjectReference};

use crate::{
    caches::Caches,
    metadata,
    naming::NameTranslator,
    object_key::ObjectKey,
    resource::{ResourceSyncer, Surroundings, TranslateError, Translation},
    resources::service,
};

/// Syncs [`Endpoints`].
#[derive(Debug)]
pub struct EndpointsOfServices;

impl ResourceSyncer for EndpointsOfServices {
    type Object = Endpoints;

    fn selects(object: &Endpoints, cx: &Translation) -> bool {
        ObjectKey::of(object) != service::api_server() && has_no_selector(&cx.around)
    }

    fn to_host(object: &Endpoints, cx: &Translation) -> Result<Endpoints, TranslateError> {
        // The annotation would keep the host from mirroring them into slices.
        let metadata = metadata::to_host_without(
            &object.metadata,
            &cx.names,
            &["control-plane.alpha.kubernetes.io/leader"],
        )?;
        let subsets = object.subsets.as_ref().map(|subsets| {
            subsets
                .iter()
                .map(|subset| to_host(subset, &cx.names))
                .collect()
        });
        Ok(Endpoints { metadata, subsets })
    }

    fn surroundings(key: &ObjectKey, caches: &Caches) -> Surroundings {
        Surroundings {
            services: caches.services.on_virtual.get(key).into_iter().collect(),
            ..Surroundings::default()
        }
    }

    /// The host's endpoints of a service that lost its selector are taken over, not made anew.
    fn is_bound_to_uid() -> bool {
        false
    }
}

/// Is there a service, and does nobody compute its endpoints?
pub(crate) fn has_no_selector(around: &Surroundings) -> bool {
    around.services.first().is_some_and(|service| {
        service.spec.as_ref().is_some_and(|spec| {
            spec.selector
                .as_ref()
                .is_none_or(std::collections::BTreeMap::is_empty)
                && spec.type_.as_deref() != Some("ExternalName")
        })
    })
}

fn to_host(subset: &EndpointSubset, names: &NameTranslator) -> EndpointSubset {
    let addresses = |list: &Option<Vec<EndpointAddress>>| {
        list.as_ref().map(|list| {
            list.iter()
                .map(|address| EndpointAddress {
                    target_ref: address
                        .target_ref
                        .as_ref()
                        .map(|target| target_to_host(target, names)),
                    ..address.clone()
                })
                .collect()
        })
    };
    EndpointSubset {
        addresses: addresses(&subset.addresses),
        not_ready_addresses: addresses(&subset.not_ready_addresses),
        ports: subset.ports.clone(),
    }
}

/// The host object that an endpoint's target stands for.
pub(crate) fn target_to_host(target: &ObjectReference, names: &NameTranslator) -> ObjectReference {
    match (target.kind.as_deref(), &target.namespace, &target.name) {
        (Some("Pod"), Some(namespace), Some(name)) => ObjectReference {
            name: Some(names.host_name(name, namespace)),
            namespace: Some(names.host_namespace().to_owned()),
            uid: None,
            resource_version: None,
            ..target.clone()
        },
        _ => target.clone(),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::sync::Arc;

    use k8s_openapi::api::core::v1::{Service, ServiceSpec};
    use rstest::rstest;

    use super::*;
    use crate::{metadata::tests::meta, resource::tests::translation};

    /// A service with or without a selector.
    pub(crate) fn service(selector: Option<&str>) -> Arc<Service> {
        Arc::new(Service {
            metadata: meta("default", "web"),
            spec: Some(ServiceSpec {
                selector: selector.map(|app| [("app".to_owned(), app.to_owned())].into()),
                ..ServiceSpec::default()
            }),
            status: None,
        })
    }

    #[rstest]
    #[case::the_tenant_writes_them(vec![service(None)], true)]
    #[case::the_host_finds_them(vec![service(Some("web"))], false)]
    #[case::there_is_no_service(vec![], false)]
    fn only_what_nobody_computes_is_copied(
        #[case] services: Vec<Arc<Service>>,
        #[case] expected: bool,
    ) {
        let object = Endpoints {
            metadata: meta("default", "web"),
            subsets: None,
        };
        let mut cx = translation();
        cx.around.services = services;
        assert_eq!(EndpointsOfServices::selects(&object, &cx), expected);
    }

    #[test]
    fn targets_are_translated() {
        let target = ObjectReference {
            kind: Some("Pod".to_owned()),
            namespace: Some("default".to_owned()),
            name: Some("web".to_owned()),
            uid: Some("uid".to_owned()),
            ..ObjectReference::default()
        };
        let object = Endpoints {
            metadata: meta("default", "web"),
            subsets: Some(vec![EndpointSubset {
                addresses: Some(vec![EndpointAddress {
                    ip: "192.0.2.1".to_owned(),
                    target_ref: Some(target),
                    ..EndpointAddress::default()
                }]),
                ..EndpointSubset::default()
            }]),
        };
        let host = EndpointsOfServices::to_host(&object, &translation()).unwrap();
        let address = host.subsets.unwrap()[0].addresses.clone().unwrap()[0].clone();
        assert_eq!(address.ip, "192.0.2.1");
        let target = address.target_ref.unwrap();
        assert_eq!(target.name.as_deref(), Some("web-x-default-x-test"));
        assert_eq!(target.namespace.as_deref(), Some("vcluster-test"));
        assert_eq!(target.uid, None);
    }
}
