//! Endpoints that the tenant writes, for services without a selector. All others the host finds
//! itself.

use k8s_openapi::api::core::v1::{EndpointAddress, EndpointSubset, Endpoints, ObjectReference};

use crate::{
    caches::Caches,
    metadata,
    naming::NameTranslator,
    object_key::ObjectKey,
    resource::{ResourceSyncer, Surroundings, TranslateError, Translation},
    resources::{exposure, service},
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
            cx,
            &["control-plane.alpha.kubernetes.io/leader"],
        )?;
        let subsets = object.subsets.as_ref().map(|subsets| {
            let subsets = subsets.iter().map(|subset| to_host(subset, cx));
            // Servers refuse subsets without any address.
            let is_used = |subset: &EndpointSubset| addresses(subset).next().is_some();
            subsets.filter(is_used).collect()
        });
        Ok(Endpoints { metadata, subsets })
    }

    fn withheld(object: &Endpoints, cx: &Translation) -> Option<String> {
        let foreign = addresses_of(object).filter(|address| !may_go(address, cx));
        exposure::told(foreign.count())
    }

    fn surroundings(key: &ObjectKey, caches: &Caches) -> Surroundings {
        let mut around = Surroundings {
            services: caches.services.on_virtual.get(key).into_iter().collect(),
            ..Surroundings::default()
        };
        if has_no_selector(&around)
            && let Some(object) = caches.endpoints.on_virtual.get(key)
        {
            around.own_addresses = exposure::own_among(addresses_of(&object), caches);
        }
        around
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

/// The addresses of all endpoints.
pub(crate) fn addresses_of(object: &Endpoints) -> impl Iterator<Item = &String> {
    object.subsets.iter().flatten().flat_map(addresses)
}

fn addresses(subset: &EndpointSubset) -> impl Iterator<Item = &String> {
    let lists = [&subset.addresses, &subset.not_ready_addresses];
    lists.into_iter().flatten().flatten().map(|it| &it.ip)
}

/// May this address be behind the service on the host?
pub(crate) fn may_go(address: &str, cx: &Translation) -> bool {
    exposure::is_free(cx) || exposure::is_own(address, &cx.around)
}

fn to_host(subset: &EndpointSubset, cx: &Translation) -> EndpointSubset {
    let addresses = |list: &Option<Vec<EndpointAddress>>| {
        list.as_ref().map(|list| {
            list.iter()
                .filter(|address| may_go(&address.ip, cx))
                .map(|address| EndpointAddress {
                    target_ref: address
                        .target_ref
                        .as_ref()
                        .map(|target| target_to_host(target, &cx.names)),
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

    /// A service of this type that the tenant finds the endpoints for.
    pub(crate) fn open_service(type_: &str) -> Arc<Service> {
        let mut service = service(None);
        let spec = Arc::make_mut(&mut service).spec.as_mut();
        spec.unwrap().type_ = Some(type_.to_owned());
        service
    }

    #[rstest]
    #[case::only_the_tenant_comes_there("ClusterIP", 2)]
    #[case::through_nodes("NodePort", 1)]
    #[case::through_a_balancer("LoadBalancer", 1)]
    fn only_the_tenants_pods_are_open_to_the_outside(#[case] type_: &str, #[case] expected: usize) {
        let ready = serde_json::json!({"addresses": [{"ip": "10.244.0.7"}]});
        let foreign = serde_json::json!({"notReadyAddresses": [{"ip": "10.244.0.8"}]});
        let object = Endpoints {
            metadata: meta("default", "web"),
            subsets: serde_json::from_value(serde_json::json!([ready, foreign])).unwrap(),
        };
        let mut cx = translation();
        cx.around.services = vec![open_service(type_)];
        cx.around.own_addresses = [[10, 244, 0, 7].into()].into();
        let subsets = EndpointsOfServices::to_host(&object, &cx).unwrap().subsets;
        assert_eq!(subsets.unwrap().len(), expected);
        let told = EndpointsOfServices::withheld(&object, &cx);
        assert_eq!(told.is_some(), expected == 1);
        Arc::make_mut(&mut cx.facts)
            .sync
            .to_host
            .services
            .foreign_endpoints
            .enabled = true;
        let subsets = EndpointsOfServices::to_host(&object, &cx).unwrap().subsets;
        assert_eq!(subsets.unwrap().len(), 2);
    }

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
