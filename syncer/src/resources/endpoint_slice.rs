//! Endpoint slices that the tenant writes, for services without a selector.

use k8s_openapi::api::discovery::v1::{Endpoint, EndpointSlice};
use kube::ResourceExt;

use crate::{
    caches::Caches,
    metadata,
    object_key::ObjectKey,
    optional::{self, Items as _},
    resource::{ResourceSyncer, Surroundings, TranslateError, Translation},
    resources::{endpoints, exposure, service},
};

/// Says to which service a slice belongs.
pub const SERVICE_NAME: &str = "kubernetes.io/service-name";
/// Says who made a slice.
const MADE_BY: &str = "endpointslice.kubernetes.io/managed-by";

/// The virtual service that a slice belongs to.
pub fn service_of(slice: &EndpointSlice) -> Option<ObjectKey> {
    Some(ObjectKey {
        namespace: slice.namespace(),
        name: slice.labels().get(SERVICE_NAME)?.clone(),
    })
}

/// The addresses of all endpoints.
pub(crate) fn addresses_of(slice: &EndpointSlice) -> impl Iterator<Item = &String> {
    let endpoints = slice.endpoints.items().iter();
    endpoints.flat_map(|endpoint| &endpoint.addresses)
}

/// Syncs [`EndpointSlice`].
#[derive(Debug)]
pub struct EndpointSlices;

impl ResourceSyncer for EndpointSlices {
    type Object = EndpointSlice;

    /// Not those that a controller made: the host has such controllers too.
    fn selects(object: &EndpointSlice, cx: &Translation) -> bool {
        let is_computed = object
            .labels()
            .get(MADE_BY)
            .is_some_and(|by| by.ends_with(".k8s.io"));
        !is_computed
            && service_of(object).is_some_and(|key| key != service::api_server())
            && endpoints::has_no_selector(&cx.around)
    }

    fn to_host(object: &EndpointSlice, cx: &Translation) -> Result<EndpointSlice, TranslateError> {
        let namespace = object.namespace().unwrap_or_default();
        let mut metadata = metadata::to_host(&object.metadata, cx)?;
        if let Some(service) = object.labels().get(SERVICE_NAME) {
            metadata.labels.get_or_insert_default().insert(
                SERVICE_NAME.to_owned(),
                cx.names.host_name(service, &namespace),
            );
        }
        let may_go = |endpoint: &&Endpoint| {
            let mut addresses = endpoint.addresses.iter();
            addresses.all(|address| endpoints::may_go(address, cx))
        };
        let to_host = |endpoint: &Endpoint| Endpoint {
            target_ref: endpoint
                .target_ref
                .as_ref()
                .map(|target| endpoints::target_to_host(target, &cx.names)),
            ..endpoint.clone()
        };
        let endpoints = object.endpoints.items().iter().filter(may_go);
        let endpoints: Vec<Endpoint> = endpoints.map(to_host).collect();
        Ok(EndpointSlice {
            metadata,
            endpoints: optional::list(endpoints),
            address_type: object.address_type.clone(),
            ports: object.ports.clone(),
        })
    }

    fn withheld(object: &EndpointSlice, cx: &Translation) -> Option<String> {
        let foreign = addresses_of(object).filter(|address| !endpoints::may_go(address, cx));
        exposure::told(foreign.count())
    }

    fn surroundings(key: &ObjectKey, caches: &Caches) -> Surroundings {
        let slice = caches.endpoint_slices.on_virtual.get(key);
        let service = slice
            .as_ref()
            .and_then(|slice| caches.services.on_virtual.get(&service_of(slice)?));
        let mut around = Surroundings {
            services: service.into_iter().collect(),
            ..Surroundings::default()
        };
        if let Some(slice) = slice.filter(|_| endpoints::has_no_selector(&around)) {
            around.own_addresses = exposure::own_among(addresses_of(&slice), caches);
        }
        around
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;
    use crate::{
        metadata::tests::meta,
        resource::tests::translation,
        resources::endpoints::tests::{open_service, service},
    };

    fn slice(made_by: &str) -> EndpointSlice {
        let mut metadata = meta("default", "web-abc");
        metadata.labels = Some(
            [(SERVICE_NAME, "web"), (MADE_BY, made_by)]
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .into(),
        );
        EndpointSlice {
            metadata,
            address_type: "IPv4".to_owned(),
            ..EndpointSlice::default()
        }
    }

    #[rstest]
    #[case::the_tenant("me", None, true)]
    #[case::a_controller("endpointslice-controller.k8s.io", None, false)]
    #[case::the_mirror("endpointslicemirroring-controller.k8s.io", None, false)]
    #[case::the_host_finds_them("me", Some("web"), false)]
    fn who_writes_a_slice_decides(
        #[case] made_by: &str,
        #[case] selector: Option<&str>,
        #[case] expected: bool,
    ) {
        let mut cx = translation();
        cx.around.services = vec![service(selector)];
        assert_eq!(EndpointSlices::selects(&slice(made_by), &cx), expected);
    }

    #[test]
    fn only_the_tenants_pods_are_open_to_the_outside() {
        let mut object = slice("me");
        let endpoints = json!([{"addresses": ["10.244.0.7"]}, {"addresses": ["10.244.0.8"]}]);
        object.endpoints = serde_json::from_value(endpoints).unwrap();
        let mut cx = translation();
        cx.around.services = vec![open_service("NodePort")];
        cx.around.own_addresses = [[10, 244, 0, 7].into()].into();
        let host = EndpointSlices::to_host(&object, &cx).unwrap();
        assert_eq!(addresses_of(&host).collect::<Vec<_>>(), ["10.244.0.7"]);
        assert!(EndpointSlices::withheld(&object, &cx).is_some());
        cx.around.services = vec![open_service("ClusterIP")];
        let host = EndpointSlices::to_host(&object, &cx).unwrap();
        assert_eq!(addresses_of(&host).count(), 2);
        assert_eq!(EndpointSlices::withheld(&object, &cx), None);
    }

    #[test]
    fn the_service_is_the_hosts() {
        let host = EndpointSlices::to_host(&slice("me"), &translation()).unwrap();
        assert_eq!(host.labels()[SERVICE_NAME], "web-x-default-x-test");
    }
}
