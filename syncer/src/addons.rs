//! Annotations and labels by which add-ons of the host give an object more than is the tenant's: networks,
//! addresses, identities, names, copies. They stay in the virtual cluster unless the configuration lets
//! them pass. What only shapes the tenant's own pods and load balancers goes.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::{Map, Value};

use crate::config::{Keys, ToHost};

/// Annotations that stay.
const ANNOTATIONS: &[&str] = &[
    // Networks of the host, and addresses in them.
    NETWORKS,
    DEFAULT_NETWORK,
    "cni.cilium.io/*",
    "cni.projectcalico.org/*",
    "egress.projectcalico.org/*",
    "ipam.cilium.io/*",
    "k8s.ovn.org/*",
    "k8s.v1.cni.cncf.io/*",
    "ovn.kubernetes.io/*",
    // Addresses of load balancers that are others'.
    "lbipam.cilium.io/sharing-cross-namespace",
    "lbipam.cilium.io/sharing-key",
    "metallb.io/allow-shared-ip",
    "metallb.universe.tf/allow-shared-ip",
    // Identities that the host's meshes, vaults and clouds vouch for.
    "consul.hashicorp.com/connect-inject",
    "iam.amazonaws.com/*",
    "inject.istio.io/*",
    "linkerd.io/inject",
    "sidecar.istio.io/inject",
    "vault.hashicorp.com/agent-inject",
    // Names in the host's zones, and certificates for any.
    "cert-manager.io/cluster-issuer",
    "cert-manager.io/issuer",
    "external-dns.alpha.kubernetes.io/*",
    "kubernetes.io/tls-acme",
    // Copies from and to other namespaces.
    "kubed.appscode.com/*",
    "reflector.v1.k8s.emberstack.com/*",
    "replicator.v1.mittwald.de/*",
];

/// Labels that stay; all of them ask for an identity.
const LABELS: &[&str] = &[
    "aadpodidbinding",
    "istio.io/dataplane-mode",
    "istio.io/rev",
    "sidecar.istio.io/inject",
];

/// Further networks of a pod, in any namespace: names, or JSON.
const NETWORKS: &str = "k8s.v1.cni.cncf.io/networks";
/// The network that a pod has instead of the usual one, by one name.
const DEFAULT_NETWORK: &str = "v1.multus-cni.io/default-network";

/// Why a label or an annotation stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Stays {
    /// The configuration says so.
    Chosen,
    /// The host's add-ons would give more for it than is the tenant's.
    Usually,
    /// It may pass, but names another namespace.
    Elsewhere,
}

/// Does the tenant's annotation go to the host?
pub(crate) fn passes_annotation(key: &str, value: &str, to_host: &ToHost) -> bool {
    annotation(key, value, to_host).is_none()
}

/// Does the tenant's label go to the host?
pub(crate) fn passes_label(key: &str, to_host: &ToHost) -> bool {
    label(key, to_host).is_none()
}

/// What the tenant is told of the annotations and labels of an object that stay behind. Nothing of those
/// that the configuration names.
pub(crate) fn withheld(virtual_meta: &ObjectMeta, to_host: &ToHost) -> Option<String> {
    let annotations = virtual_meta.annotations.iter().flatten();
    let annotations = annotations.filter_map(|(key, value)| {
        let why = annotation(key, value, to_host)?;
        Some((why, format!("annotation {key}")))
    });
    let labels = virtual_meta.labels.iter().flatten();
    let labels = labels.filter_map(|(key, _)| Some((label(key, to_host)?, format!("label {key}"))));
    let mut staying = BTreeMap::<Stays, Vec<String>>::new();
    for (why, what) in annotations.chain(labels) {
        staying.entry(why).or_default().push(what);
    }
    let told: Vec<_> = staying
        .into_iter()
        .filter_map(|(why, what)| {
            let why = match why {
                Stays::Chosen => return None,
                Stays::Usually => {
                    "is not synced to the host, whose add-ons would give more for it than is this \
                     cluster's; toHost.annotations.pass and toHost.labels.pass allow it"
                }
                Stays::Elsewhere => "is not synced to the host, since it names another namespace",
            };
            Some(format!("{} {why}", what.join(", ")))
        })
        .collect();
    (!told.is_empty()).then(|| told.join(". "))
}

fn annotation(key: &str, value: &str, to_host: &ToHost) -> Option<Stays> {
    let is_of_networks = [NETWORKS, DEFAULT_NETWORK].contains(&key);
    stays(key, &to_host.annotations, ANNOTATIONS)
        .or_else(|| (is_of_networks && names_a_namespace(value)).then_some(Stays::Elsewhere))
}

fn label(key: &str, to_host: &ToHost) -> Option<Stays> {
    stays(key, &to_host.labels, LABELS)
}

fn stays(key: &str, keys: &Keys, usual: &[&str]) -> Option<Stays> {
    if keys.holds(key, &[]) {
        Some(Stays::Chosen)
    } else {
        keys.holds(key, usual).then_some(Stays::Usually)
    }
}

/// Does one of the networks say in which namespace it is? Those that do not are in that of the pod.
fn names_a_namespace(networks: &str) -> bool {
    if !networks.contains(['[', '{', '"']) {
        return networks.contains('/');
    }
    // Readers take keys in any case, and some letters beyond ASCII for those that look alike.
    let is_plain = |key: &String| key.is_ascii() && !key.eq_ignore_ascii_case("namespace");
    let networks = serde_json::from_str::<Vec<Map<String, Value>>>(networks);
    networks.map_or(true, |networks| {
        !networks.iter().flat_map(Map::keys).all(is_plain)
    })
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::config::Sync;

    fn to_host(choice: &str) -> ToHost {
        let sync = Sync::from_yaml(&format!("sync: {{toHost: {choice}}}"));
        sync.unwrap().to_host
    }

    fn meta(annotations: &[(&str, &str)], labels: &[&str]) -> ObjectMeta {
        let own = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        let annotations = annotations.iter().map(|(key, value)| own(key, value));
        ObjectMeta {
            annotations: Some(annotations.collect()),
            labels: Some(labels.iter().map(|key| own(key, "true")).collect()),
            ..ObjectMeta::default()
        }
    }

    #[rstest]
    #[case::a_name("storage", false)]
    #[case::several_with_interfaces("storage@net1, backup@net2", false)]
    #[case::elsewhere("storage,kube-system/admin", true)]
    #[case::json(r#"[{"name": "storage", "ips": ["10.1.1.1"]}]"#, false)]
    #[case::json_elsewhere(r#"[{"name": "a"}, {"name": "b", "namespace": "kube-system"}]"#, true)]
    #[case::in_another_case(r#"[{"name": "a", "NameSpace": "kube-system"}]"#, true)]
    #[case::in_letters_that_look_alike(r#"[{"name": "a", "name\u017fpace": "kube-system"}]"#, true)]
    #[case::what_cannot_be_read(r#"[{"name": "a""#, true)]
    fn a_network_may_be_of_another_namespace(#[case] networks: &str, #[case] expected: bool) {
        assert_eq!(names_a_namespace(networks), expected);
        let to_host = to_host(&format!("{{annotations: {{pass: ['{NETWORKS}']}}}}"));
        assert_eq!(passes_annotation(NETWORKS, networks, &to_host), !expected);
    }

    #[test]
    fn what_shapes_the_tenants_own_goes() {
        let to_host = ToHost::default();
        for key in [
            "cluster-autoscaler.kubernetes.io/safe-to-evict",
            "container.apparmor.security.beta.kubernetes.io/main",
            "kubernetes.io/ingress-bandwidth",
            "service.beta.kubernetes.io/aws-load-balancer-internal",
            // What a mesh of the tenant's leaves on its pods.
            "sidecar.istio.io/status",
        ] {
            assert!(passes_annotation(key, "true", &to_host), "{key}");
        }
        assert!(passes_label("app.kubernetes.io/name", &to_host));
    }

    #[test]
    fn the_tenant_is_told_of_what_it_cannot_expect() {
        let asked = [
            (NETWORKS, "a/b"),
            ("linkerd.io/inject", "enabled"),
            ("note", "mine"),
            ("own", ""),
        ];
        let meta = meta(&asked, &["istio.io/rev", "app"]);
        let choice = format!("{{annotations: {{hold: [own], pass: ['{NETWORKS}']}}}}");
        assert_eq!(
            withheld(&meta, &to_host(&choice)).as_deref(),
            Some(
                "annotation linkerd.io/inject, label istio.io/rev is not synced to the host, whose \
                 add-ons would give more for it than is this cluster's; toHost.annotations.pass and \
                 toHost.labels.pass allow it. annotation k8s.v1.cni.cncf.io/networks is not synced to \
                 the host, since it names another namespace"
            )
        );
        let everything = to_host("{annotations: {pass: ['*']}, labels: {pass: ['*']}}");
        let meta = ObjectMeta {
            annotations: None,
            ..meta
        };
        assert_eq!(withheld(&meta, &everything), None);
        assert_eq!(withheld(&ObjectMeta::default(), &ToHost::default()), None);
    }
}
