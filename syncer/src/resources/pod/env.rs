//! Environment variables: those that a kubelet of the virtual cluster would add, and references.

use std::{collections::BTreeMap, net::IpAddr, sync::Arc};

use k8s_openapi::api::core::v1::{EnvFromSource, EnvVar, PodSpec, Service};
use kube::ResourceExt;

use super::downward_api;
use crate::{naming::NameTranslator, resource::Translation, resources::service};

/// What the containers of one pod find in their environment.
pub(super) struct Environment<'a> {
    /// What every container starts with, by name.
    injected: BTreeMap<String, String>,
    names: &'a NameTranslator,
    namespace: &'a str,
}

impl<'a> Environment<'a> {
    /// That of the pod with this `spec` in the virtual `namespace`.
    pub(super) fn of(spec: &PodSpec, namespace: &'a str, cx: &'a Translation) -> Self {
        let mut injected = BTreeMap::new();
        if spec.enable_service_links.unwrap_or(true) {
            for service in &cx.around.services {
                add_links(&mut injected, service);
            }
        }
        add_api_server(&mut injected, cx.facts.api);
        Self {
            injected,
            names: &cx.names,
            namespace,
        }
    }

    /// Puts what is injected before a container's own variables, so that those can refer to it, and
    /// translates what the own ones refer to.
    pub(super) fn translate(
        &self,
        env: &mut Option<Vec<EnvVar>>,
        env_from: &mut Option<Vec<EnvFromSource>>,
    ) {
        let (names, namespace) = (self.names, self.namespace);
        let own = env.take().unwrap_or_default();
        let mut all: Vec<_> = self
            .injected
            .iter()
            .filter(|(name, _)| !own.iter().any(|var| var.name == **name))
            .map(|(name, value)| EnvVar {
                name: name.clone(),
                value: Some(value.clone()),
                value_from: None,
            })
            .collect();
        all.extend(
            own.into_iter()
                .map(|var| var_to_host(var, names, namespace)),
        );
        *env = Some(all);
        for source in env_from.iter_mut().flatten() {
            if let Some(reference) = &mut source.config_map_ref {
                reference.name = names.host_name(&reference.name, namespace);
            }
            if let Some(reference) = &mut source.secret_ref {
                reference.name = names.host_name(&reference.name, namespace);
            }
        }
    }
}

fn var_to_host(mut var: EnvVar, names: &NameTranslator, namespace: &str) -> EnvVar {
    if let Some(source) = &mut var.value_from {
        if let Some(key) = &mut source.config_map_key_ref {
            key.name = names.host_name(&key.name, namespace);
        }
        if let Some(key) = &mut source.secret_key_ref {
            key.name = names.host_name(&key.name, namespace);
        }
        if let Some(field) = &mut source.field_ref {
            downward_api::to_host(field, names);
        }
    }
    var
}

/// As Docker's links, which is where the form comes from.
fn add_links(vars: &mut BTreeMap<String, String>, service: &Arc<Service>) {
    let Some(spec) = &service.spec else { return };
    let Some(ip) = spec
        .cluster_ip
        .as_deref()
        .filter(|ip| !ip.is_empty() && *ip != "None")
    else {
        return;
    };
    let is_api_server = crate::object_key::ObjectKey::of(service.as_ref()) == service::api_server();
    let ports = spec.ports.as_deref().unwrap_or_default();
    let Some(first) = ports.first().filter(|_| !is_api_server) else {
        return;
    };
    let prefix = variable_name(&service.name_any());
    let mut set = |name: String, value: String| vars.insert(name, value);
    set(format!("{prefix}_SERVICE_HOST"), ip.to_owned());
    set(format!("{prefix}_SERVICE_PORT"), first.port.to_string());
    for port in ports {
        if let Some(name) = port.name.as_deref().filter(|name| !name.is_empty()) {
            set(
                format!("{prefix}_SERVICE_PORT_{}", variable_name(name)),
                port.port.to_string(),
            );
        }
    }
    let joined = join(ip);
    for (index, port) in ports.iter().enumerate() {
        let protocol = port.protocol.as_deref().unwrap_or("TCP");
        let lower = protocol.to_lowercase();
        let url = format!("{lower}://{joined}:{}", port.port);
        if index == 0 {
            set(format!("{prefix}_PORT"), url.clone());
        }
        let link = format!("{prefix}_PORT_{}_{}", port.port, protocol.to_uppercase());
        set(format!("{link}_PROTO"), lower);
        set(format!("{link}_PORT"), port.port.to_string());
        set(format!("{link}_ADDR"), ip.to_owned());
        set(link, url);
    }
}

/// The eight variables that clients in pods find the API server by.
fn add_api_server(vars: &mut BTreeMap<String, String>, api: IpAddr) {
    let ip = api.to_string();
    let url = format!("tcp://{}:443", join(&ip));
    for (name, value) in [
        ("KUBERNETES_PORT", url.as_str()),
        ("KUBERNETES_PORT_443_TCP", &url),
        ("KUBERNETES_PORT_443_TCP_ADDR", &ip),
        ("KUBERNETES_PORT_443_TCP_PORT", "443"),
        ("KUBERNETES_PORT_443_TCP_PROTO", "tcp"),
        ("KUBERNETES_SERVICE_HOST", &ip),
        ("KUBERNETES_SERVICE_PORT", "443"),
        ("KUBERNETES_SERVICE_PORT_HTTPS", "443"),
    ] {
        vars.insert(name.to_owned(), value.to_owned());
    }
}

fn variable_name(name: &str) -> String {
    name.to_uppercase().replace('-', "_")
}

/// An address as it stands before a port.
fn join(ip: &str) -> String {
    if ip.contains(':') {
        format!("[{ip}]")
    } else {
        ip.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::{
        ConfigMapKeySelector, EnvVarSource, SecretEnvSource, ServicePort, ServiceSpec,
    };

    use super::*;
    use crate::{
        metadata::tests::meta,
        resource::tests::{names, translation},
    };

    fn service(name: &str, ip: &str) -> Arc<Service> {
        let port = |name: &str, port, protocol: &str| ServicePort {
            name: Some(name.to_owned()),
            port,
            protocol: Some(protocol.to_owned()),
            ..ServicePort::default()
        };
        Arc::new(Service {
            metadata: meta("default", name),
            spec: Some(ServiceSpec {
                cluster_ip: Some(ip.to_owned()),
                ports: Some(vec![port("http-web", 80, "TCP"), port("dns", 53, "UDP")]),
                ..ServiceSpec::default()
            }),
            status: None,
        })
    }

    fn with_services(services: Vec<Arc<Service>>) -> Translation {
        let mut cx = translation();
        cx.around.services = services;
        cx
    }

    fn injected(cx: &Translation, has_links: bool) -> BTreeMap<String, String> {
        let spec = PodSpec {
            enable_service_links: Some(has_links),
            ..PodSpec::default()
        };
        Environment::of(&spec, "default", cx).injected
    }

    fn environment<'a>(injected: &[(&str, &str)], names: &'a NameTranslator) -> Environment<'a> {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        Environment {
            injected: injected.iter().map(owned).collect(),
            names,
            namespace: "default",
        }
    }

    #[test]
    fn links_look_as_the_kubelets() {
        let vars = injected(&with_services(vec![service("my-web", "10.96.17.20")]), true);
        let of_service: Vec<_> = vars
            .iter()
            .filter(|(name, _)| name.starts_with("MY_WEB"))
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        let expected = [
            "MY_WEB_PORT=tcp://10.96.17.20:80",
            "MY_WEB_PORT_53_UDP=udp://10.96.17.20:53",
            "MY_WEB_PORT_53_UDP_ADDR=10.96.17.20",
            "MY_WEB_PORT_53_UDP_PORT=53",
            "MY_WEB_PORT_53_UDP_PROTO=udp",
            "MY_WEB_PORT_80_TCP=tcp://10.96.17.20:80",
            "MY_WEB_PORT_80_TCP_ADDR=10.96.17.20",
            "MY_WEB_PORT_80_TCP_PORT=80",
            "MY_WEB_PORT_80_TCP_PROTO=tcp",
            "MY_WEB_SERVICE_HOST=10.96.17.20",
            "MY_WEB_SERVICE_PORT=80",
            "MY_WEB_SERVICE_PORT_DNS=53",
            "MY_WEB_SERVICE_PORT_HTTP_WEB=80",
        ];
        assert_eq!(of_service, expected);
    }

    #[test]
    fn the_api_server_is_always_there() {
        let vars = injected(&with_services(vec![service("web", "10.96.17.20")]), false);
        assert_eq!(vars.len(), 8);
        assert_eq!(vars["KUBERNETES_SERVICE_HOST"], "10.96.17.1");
        assert_eq!(vars["KUBERNETES_PORT_443_TCP"], "tcp://10.96.17.1:443");
    }

    #[test]
    fn a_headless_service_has_no_link() {
        let vars = injected(&with_services(vec![service("web", "None")]), true);
        assert_eq!(vars.len(), 8);
    }

    #[test]
    fn the_tenants_variables_come_last_and_win() {
        let own = |name: &str, value: &str| EnvVar {
            name: name.to_owned(),
            value: Some(value.to_owned()),
            value_from: None,
        };
        let mut env = Some(vec![
            own("Z", "$(A)"),
            own("KUBERNETES_SERVICE_PORT", "6443"),
        ]);
        let injected = [("A", "1"), ("KUBERNETES_SERVICE_PORT", "443")];
        environment(&injected, &names()).translate(&mut env, &mut None);
        let expected = [
            own("A", "1"),
            own("Z", "$(A)"),
            own("KUBERNETES_SERVICE_PORT", "6443"),
        ];
        assert_eq!(env.unwrap(), expected);
    }

    #[test]
    fn references_are_translated() {
        let mut env = Some(vec![EnvVar {
            name: "A".to_owned(),
            value: None,
            value_from: Some(EnvVarSource {
                config_map_key_ref: Some(ConfigMapKeySelector {
                    name: "colors".to_owned(),
                    key: "red".to_owned(),
                    optional: None,
                }),
                ..EnvVarSource::default()
            }),
        }]);
        let mut env_from = Some(vec![EnvFromSource {
            secret_ref: Some(SecretEnvSource {
                name: "key".to_owned(),
                optional: Some(true),
            }),
            ..EnvFromSource::default()
        }]);
        environment(&[], &names()).translate(&mut env, &mut env_from);
        let source = env.unwrap()[0].value_from.clone().unwrap();
        assert_eq!(
            source.config_map_key_ref.unwrap().name,
            "colors-x-default-x-test"
        );
        let source = env_from.unwrap()[0].secret_ref.clone().unwrap();
        assert_eq!(source.name, "key-x-default-x-test");
    }
}
