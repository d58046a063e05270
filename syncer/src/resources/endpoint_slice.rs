//! Endpoint slices that the tenant writes, for services without a selector.

use k8s_openapi::api::discovery::v1::{Endpoint, EndpointSlice};
use kube::ResourceExt;

use crate::{
    caches::Caches,
    metadata,
    object_key::ObjectKey,
    optional::{self, Items as _},
    resource::{ResourceSyncer, Surroundings, TranslateError, Translation},
    resources::{endpoints, service},
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
        let mut metadata = metadata::to_host(&object.metadata, &cx.names)?;
        if let Some(service) = object.labels().get(SERVICE_NAME) {
            metadata.labels.get_or_insert_default().insert(
                SERVICE_NAME.to_owned(),
                cx.names.host_name(service, &namespace),
            );
        }
        let to_host = |endpoint: &Endpoint| Endpoint {
            target_ref: endpoint
                .target_ref
                .as_ref()
                .map(|target| endpoints::target_to_host(target, &cx.names)),
            ..endpoint.clone()
        };
        let endpoints: Vec<Endpoint> = object.endpoints.items().iter().map(to_host).collect();
        Ok(EndpointSlice {
            metadata,
            endpoints: optional::list(endpoints),
            address_type: object.address_type.clone(),
            ports: object.ports.clone(),
        })
    }

    fn surroundings(key: &ObjectKey, caches: &Caches) -> Surroundings {
        let service = caches
            .endpoint_slices
            .on_virtual
            .get(key)
            .and_then(|slice| caches.services.on_virtual.get(&service_of(&slice)?));
        Surroundings {
            services: service.into_iter().collect(),
            ..Surroundings::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::{
        metadata::tests::meta, resource::tests::translation, resources::endpoints::tests::service,
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
    fn the_service_is_the_hosts() {
        let host = EndpointSlices::to_host(&slice("me"), &translation()).unwrap();
        assert_eq!(host.labels()[SERVICE_NAME], "web-x-default-x-test");
    }
}
