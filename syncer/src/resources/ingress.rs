//! Ingresses go to the host, whose controller serves them; the address comes back.

use std::collections::BTreeMap;

use k8s_openapi::api::networking::v1::{Ingress, IngressBackend, IngressSpec};
use kube::ResourceExt;
use serde_json::Value;

use crate::{
    metadata,
    naming::NameTranslator,
    object_key::ObjectKey,
    resource::{Kind, Reference, ResourceSyncer, TranslateError, Translation},
};

/// Words in the domains of annotations that ingress controllers read.
const CONTROLLERS: &[&str] = &["ingress", "haproxy", "traefik"];
/// What those annotations name, by the end of their keys.
const NAMING: &[(&str, Named)] = &[
    ("-secret", Named::Secret),
    ("-configmap", Named::ConfigMap),
    ("/auth-proxy-set-headers", Named::ConfigMap),
    ("/custom-headers", Named::ConfigMap),
    ("/default-backend", Named::Service),
    // What a controller takes into its own configuration can read its files, such as its token.
    ("-snippet", Named::Foreign),
    // These are objects of the host, in any namespace, which are not synced.
    ("/router.middlewares", Named::Foreign),
    ("/router.tls.options", Named::Foreign),
];

/// What the value of an annotation stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Named {
    /// A secret, with or without its namespace.
    Secret,
    /// A config map, with or without its namespace.
    ConfigMap,
    /// A service beside the ingress.
    Service,
    /// Something that is not the tenant's.
    Foreign,
}

fn named_by(key: &str) -> Option<Named> {
    let (domain, _) = key.split_once('/')?;
    let is_read = CONTROLLERS.iter().any(|word| domain.contains(word));
    let (_, named) = NAMING
        .iter()
        .find(|(end, _)| is_read && key.ends_with(end))?;
    Some(*named)
}
/// Annotations of the AWS controller that end in the name of a backend service.
const BACKENDS_OF_ALB: &[&str] = &[
    "alb.ingress.kubernetes.io/actions.",
    "alb.ingress.kubernetes.io/conditions.",
];

/// Syncs [`Ingress`].
#[derive(Debug)]
pub struct Ingresses;

impl ResourceSyncer for Ingresses {
    type Object = Ingress;

    /// Certificates, and what the annotations name.
    fn references(object: &Ingress) -> Vec<Reference> {
        let Some(namespace) = object.namespace() else {
            return Vec::new();
        };
        let tls = object
            .spec
            .iter()
            .flat_map(|spec| spec.tls.iter().flatten());
        let certificates = tls.filter_map(|tls| tls.secret_name.as_ref());
        let certificates =
            certificates.map(|name| (Kind::Secret, ObjectKey::namespaced(&namespace, name)));
        let named = object.annotations().iter().filter_map(|(key, value)| {
            let kind = match named_by(key)? {
                Named::Secret => Kind::Secret,
                Named::ConfigMap => Kind::ConfigMap,
                Named::Service | Named::Foreign => return None,
            };
            Some((kind, named_object(value, &namespace)))
        });
        let mut references: Vec<_> = certificates
            .chain(named)
            .filter(|(_, key)| !key.name.is_empty())
            .map(|(kind, key)| Reference { kind, key })
            .collect();
        references.sort();
        references.dedup();
        references
    }

    fn to_host(object: &Ingress, cx: &Translation) -> Result<Ingress, TranslateError> {
        let namespace = object.namespace().unwrap_or_default();
        let mut metadata = metadata::to_host(&object.metadata, cx)?;
        if let Some(annotations) = metadata.annotations.take() {
            metadata.annotations = Some(annotations_to_host(annotations, &cx.names, &namespace));
        }
        let spec = object
            .spec
            .clone()
            .map(|spec| spec_to_host(spec, &cx.names, &namespace));
        Ok(Ingress {
            metadata,
            spec,
            status: None,
        })
    }

    fn withheld(object: &Ingress, _: &Translation) -> Option<String> {
        let keys = object.annotations().keys();
        let foreign: Vec<_> = keys
            .filter(|key| named_by(key) == Some(Named::Foreign))
            .map(String::as_str)
            .collect();
        (!foreign.is_empty()).then(|| {
            format!(
                "{} is not synced to the host, where it would reach more than this cluster's objects",
                foreign.join(", ")
            )
        })
    }

    fn to_virtual(host: &Ingress, object: &Ingress, _: &Translation) -> Option<Ingress> {
        let mut news = object.clone();
        let class = host
            .spec
            .as_ref()
            .and_then(|spec| spec.ingress_class_name.clone());
        let spec = news.spec.as_mut()?;
        if spec.ingress_class_name.is_none() {
            spec.ingress_class_name = class;
        }
        news.status.clone_from(&host.status);
        Some(news)
    }
}

/// The object that an annotation of an ingress in `namespace` names.
fn named_object(value: &str, namespace: &str) -> ObjectKey {
    match value.split_once('/') {
        Some((namespace, name)) => ObjectKey::namespaced(namespace, name),
        None => ObjectKey::namespaced(namespace, value),
    }
}

fn annotations_to_host(
    annotations: BTreeMap<String, String>,
    names: &NameTranslator,
    namespace: &str,
) -> BTreeMap<String, String> {
    annotations
        .into_iter()
        .filter_map(|(key, value)| {
            match named_by(&key) {
                Some(Named::Foreign) => return None,
                Some(Named::Service) => return Some((key, names.host_name(&value, namespace))),
                Some(Named::Secret | Named::ConfigMap) => {
                    let host = names.host_key(&named_object(&value, namespace));
                    return Some((key, host.to_string()));
                }
                None => {}
            }
            Some(
                match BACKENDS_OF_ALB
                    .iter()
                    .find(|prefix| key.starts_with(**prefix))
                {
                    Some(prefix) => {
                        let service = names.host_name(&key[prefix.len()..], namespace);
                        (
                            format!("{prefix}{service}"),
                            action_to_host(&value, names, namespace),
                        )
                    }
                    None => (key, value),
                },
            )
        })
        .collect()
}

/// The services in an action of the AWS controller; what is no JSON stays as it is.
fn action_to_host(value: &str, names: &NameTranslator, namespace: &str) -> String {
    let Ok(mut action) = serde_json::from_str::<Value>(value) else {
        return value.to_owned();
    };
    let groups = action
        .pointer_mut("/forwardConfig/targetGroups")
        .and_then(Value::as_array_mut);
    for service in groups
        .into_iter()
        .flatten()
        .filter_map(|group| group.get_mut("serviceName"))
    {
        if let Some(name) = service.as_str() {
            *service = names.host_name(name, namespace).into();
        }
    }
    action.to_string()
}

fn spec_to_host(mut spec: IngressSpec, names: &NameTranslator, namespace: &str) -> IngressSpec {
    let paths = spec
        .rules
        .iter_mut()
        .flatten()
        .filter_map(|rule| rule.http.as_mut())
        .flat_map(|http| http.paths.iter_mut().map(|path| &mut path.backend));
    for backend in paths.chain(spec.default_backend.as_mut()) {
        backend_to_host(backend, names, namespace);
    }
    for tls in spec.tls.iter_mut().flatten() {
        if let Some(name) = &mut tls.secret_name {
            *name = names.host_name(name, namespace);
        }
    }
    spec
}

fn backend_to_host(backend: &mut IngressBackend, names: &NameTranslator, namespace: &str) {
    if let Some(service) = &mut backend.service {
        service.name = names.host_name(&service.name, namespace);
    }
    if let Some(resource) = &mut backend.resource {
        resource.name = names.host_name(&resource.name, namespace);
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;
    use crate::{metadata::tests::meta, resource::tests::translation};

    const SECRETS: [&str; 2] = [
        "nginx.ingress.kubernetes.io/auth-secret",
        "nginx.ingress.kubernetes.io/auth-tls-secret",
    ];

    fn ingress() -> Ingress {
        let mut metadata = meta("default", "web");
        metadata.annotations = Some(
            [
                (SECRETS[0], "users"),
                (SECRETS[1], "other/ca"),
                (
                    "alb.ingress.kubernetes.io/actions.web",
                    "{\"forwardConfig\":{\"targetGroups\":[{\"serviceName\":\"web\"}]}}",
                ),
                ("note", "kept"),
            ]
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .into(),
        );
        Ingress {
            metadata,
            spec: serde_json::from_value(json!({
                "defaultBackend": {"service": {"name": "fallback", "port": {"number": 80}}},
                "rules": [{"http": {"paths": [{"path": "/", "pathType": "Prefix",
                    "backend": {"service": {"name": "web", "port": {"number": 80}}}}]}}],
                "tls": [{"secretName": "tls"}],
            }))
            .unwrap(),
            status: None,
        }
    }

    #[test]
    fn every_name_is_the_hosts() {
        let host = Ingresses::to_host(&ingress(), &translation()).unwrap();
        let text = serde_json::to_string(&host.spec).unwrap();
        for name in ["fallback", "web", "tls"] {
            assert!(
                text.contains(&format!("\"{name}-x-default-x-test\"")),
                "{name} in {text}"
            );
        }
        let annotations = host.annotations();
        assert_eq!(
            annotations[SECRETS[0]],
            "vcluster-test/users-x-default-x-test"
        );
        assert_eq!(annotations[SECRETS[1]], "vcluster-test/ca-x-other-x-test");
        let action = &annotations["alb.ingress.kubernetes.io/actions.web-x-default-x-test"];
        assert!(
            action.contains("\"serviceName\":\"web-x-default-x-test\""),
            "{action}"
        );
        assert_eq!(annotations["note"], "kept");
    }

    #[rstest]
    #[case::a_secret("haproxy-ingress.github.io/auth-secret", Some(Named::Secret))]
    #[case::headers(
        "nginx.ingress.kubernetes.io/auth-proxy-set-headers",
        Some(Named::ConfigMap)
    )]
    #[case::parameters(
        "nginx.ingress.kubernetes.io/fastcgi-params-configmap",
        Some(Named::ConfigMap)
    )]
    #[case::a_backend("nginx.ingress.kubernetes.io/default-backend", Some(Named::Service))]
    #[case::configuration(
        "nginx.ingress.kubernetes.io/configuration-snippet",
        Some(Named::Foreign)
    )]
    #[case::a_middleware(
        "traefik.ingress.kubernetes.io/router.middlewares",
        Some(Named::Foreign)
    )]
    #[case::a_number("nginx.ingress.kubernetes.io/proxy-body-size", None)]
    #[case::not_a_controllers("example.com/my-secret", None)]
    #[case::a_note("my-secret", None)]
    fn what_an_annotation_names(#[case] key: &str, #[case] expected: Option<Named>) {
        assert_eq!(named_by(key), expected);
    }

    #[test]
    fn what_reaches_further_stays_and_the_tenant_is_told() {
        let mut object = ingress();
        let key = "nginx.ingress.kubernetes.io/server-snippet";
        assert_eq!(Ingresses::withheld(&object, &translation()), None);
        object
            .annotations_mut()
            .insert(key.to_owned(), "return 200;".to_owned());
        let host = Ingresses::to_host(&object, &translation()).unwrap();
        assert!(!host.annotations().contains_key(key));
        let told = Ingresses::withheld(&object, &translation()).unwrap();
        assert!(told.starts_with(key), "{told}");
    }

    #[test]
    fn certificates_are_in_use() {
        let keys: Vec<_> = Ingresses::references(&ingress())
            .iter()
            .map(|reference| reference.key.to_string())
            .collect();
        assert_eq!(keys, ["default/tls", "default/users", "other/ca"]);
    }

    #[test]
    fn the_address_comes_back() {
        let mut host = Ingresses::to_host(&ingress(), &translation()).unwrap();
        host.spec.as_mut().unwrap().ingress_class_name = Some("nginx".to_owned());
        let status = json!({"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}});
        host.status = serde_json::from_value(status).unwrap();
        let news = Ingresses::to_virtual(&host, &ingress(), &translation()).unwrap();
        assert_eq!(news.status, host.status);
        assert_eq!(
            news.spec.unwrap().ingress_class_name.as_deref(),
            Some("nginx")
        );
    }
}
