//! The virtual cluster's DNS server: a pod of the virtual cluster like any other, with its Service
//! at the address that every pod was told.

use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{ConfigMap, Service, ServiceAccount},
    rbac::v1::{ClusterRole, ClusterRoleBinding},
};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::{
    config::SyncConfig,
    standing::{self, object},
    write::{Error, Writer},
};

/// Not 53, so that the server needs no right to low ports.
const PORT: u16 = 1053;

/// All objects of the server.
#[derive(Debug)]
pub(crate) struct CoreDns {
    account: ServiceAccount,
    role: ClusterRole,
    binding: ClusterRoleBinding,
    config: ConfigMap,
    deployment: Deployment,
    service: Service,
}

impl CoreDns {
    /// The server that `config` asks for, if it does.
    pub(crate) fn new(config: &SyncConfig) -> Option<Self> {
        let image = config.coredns_image.as_deref()?;
        Some(Self {
            account: object(json!({"metadata": meta("coredns")})),
            role: object(json!({
                "metadata": {"name": "system:coredns"},
                "rules": [
                    {"apiGroups": [""], "resources": ["endpoints", "services", "pods", "namespaces"], "verbs": ["list", "watch"]},
                    {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["list", "watch"]},
                ],
            })),
            binding: object(json!({
                "metadata": {"name": "system:coredns"},
                "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "system:coredns"},
                "subjects": [{"kind": "ServiceAccount", "name": "coredns", "namespace": "kube-system"}],
            })),
            config: object(json!({
                "metadata": meta("coredns"),
                "data": {"Corefile": corefile(&config.cluster_domain)},
            })),
            // Where the control plane survives the loss of a pod, so does the DNS server.
            deployment: object(deployment(
                image,
                if config.leader_election.enabled { 2 } else { 1 },
            )),
            service: object(json!({
                "metadata": meta("kube-dns"),
                "spec": {
                    "clusterIP": config.dns_address,
                    "selector": {"k8s-app": "kube-dns"},
                    "ports": [
                        {"name": "dns", "port": 53, "targetPort": PORT, "protocol": "UDP"},
                        {"name": "dns-tcp", "port": 53, "targetPort": PORT, "protocol": "TCP"},
                        {"name": "metrics", "port": 9153, "targetPort": 9153, "protocol": "TCP"},
                    ],
                },
            })),
        })
    }

    /// Applies everything, again and again until the virtual API server takes it.
    pub(crate) async fn run(self, on_virtual: &Writer, stop: CancellationToken) {
        standing::until_applied("dns", &stop, || self.apply(on_virtual)).await;
    }

    async fn apply(&self, on_virtual: &Writer) -> Result<(), Error> {
        // The address first: pods are pointed at it from the start. Then what the deployment needs.
        on_virtual.own(&self.service).await?;
        on_virtual.own(&self.config).await?;
        on_virtual.own(&self.account).await?;
        on_virtual.own(&self.role).await?;
        on_virtual.own(&self.binding).await?;
        on_virtual.own(&self.deployment).await
    }
}

fn meta(name: &str) -> Value {
    json!({"name": name, "namespace": "kube-system", "labels": {
        "k8s-app": "kube-dns",
        "kubernetes.io/name": "CoreDNS",
        "kubernetes.io/cluster-service": "true",
    }})
}

fn corefile(domain: &str) -> String {
    format!(
        ".:{PORT} {{
    errors
    health {{
        lameduck 1s
    }}
    ready
    kubernetes {domain} in-addr.arpa ip6.arpa {{
        pods insecure
        fallthrough in-addr.arpa ip6.arpa
        ttl 5
    }}
    prometheus :9153
    forward . /etc/resolv.conf
    cache 5
    loop
    reload
    loadbalance
}}
"
    )
}

fn deployment(image: &str, replicas: u8) -> Value {
    let probe = |path: &str, port: u16, seconds: u8| json!({"httpGet": {"path": path, "port": port}, "periodSeconds": seconds, "timeoutSeconds": 5, "failureThreshold": 5});
    let container = json!({
        "name": "coredns",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "args": ["-conf", "/etc/coredns/Corefile"],
        "ports": [
            {"name": "dns", "containerPort": PORT, "protocol": "UDP"},
            {"name": "dns-tcp", "containerPort": PORT, "protocol": "TCP"},
            {"name": "metrics", "containerPort": 9153, "protocol": "TCP"},
        ],
        "readinessProbe": probe("/ready", 8181, 1),
        "livenessProbe": probe("/health", 8080, 10),
        "resources": {"requests": {"cpu": "3m", "memory": "16Mi"}, "limits": {"memory": "170Mi"}},
        // The official binary carries the right to low ports and does not start without it.
        "securityContext": {
            "allowPrivilegeEscalation": false,
            "readOnlyRootFilesystem": true,
            "runAsNonRoot": true,
            "runAsUser": 65532,
            "runAsGroup": 65532,
            "capabilities": {"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]},
        },
        "volumeMounts": [{"name": "config", "mountPath": "/etc/coredns", "readOnly": true}],
    });
    json!({
        "metadata": meta("coredns"),
        "spec": {
            "replicas": replicas,
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1}},
            "selector": {"matchLabels": {"k8s-app": "kube-dns"}},
            "template": {
                "metadata": {"labels": {"k8s-app": "kube-dns"}},
                "spec": {
                    "serviceAccountName": "coredns",
                    "dnsPolicy": "Default",
                    "enableServiceLinks": false,
                    "terminationGracePeriodSeconds": 2,
                    "tolerations": [
                        {"key": "CriticalAddonsOnly", "operator": "Exists"},
                        {"key": "node-role.kubernetes.io/control-plane", "effect": "NoSchedule"},
                    ],
                    "securityContext": {"seccompProfile": {"type": "RuntimeDefault"}},
                    "containers": [container],
                    "volumes": [{"name": "config", "configMap": {
                        "name": "coredns", "items": [{"key": "Corefile", "path": "Corefile"}],
                    }}],
                },
            },
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{LeaderElection, tests::config};

    fn dns() -> CoreDns {
        let mut config = config();
        config.coredns_image = Some("coredns:1".to_owned());
        CoreDns::new(&config).unwrap()
    }

    #[test]
    fn several_control_planes_have_several_servers() {
        let replicas = |config: &SyncConfig| {
            let dns = CoreDns::new(config).unwrap();
            dns.deployment.spec.unwrap().replicas
        };
        let mut config = config();
        config.coredns_image = Some("coredns:1".to_owned());
        assert_eq!(replicas(&config), Some(1));
        config.leader_election = LeaderElection::ON;
        assert_eq!(replicas(&config), Some(2));
    }

    #[test]
    fn without_an_image_there_is_no_server() {
        assert!(CoreDns::new(&config()).is_none());
    }

    #[test]
    fn the_service_has_the_address_that_pods_are_told() {
        let spec = dns().service.spec.unwrap();
        assert_eq!(spec.cluster_ip.as_deref(), Some("10.96.17.10"));
        let selector = spec.selector.unwrap();
        let template = dns().deployment.spec.unwrap().template;
        assert_eq!(template.metadata.unwrap().labels, Some(selector));
    }

    #[test]
    fn the_server_needs_no_more_than_it_does() {
        let pod = dns().deployment.spec.unwrap().template.spec.unwrap();
        let context = pod.containers[0].security_context.clone().unwrap();
        assert_eq!(context.run_as_non_root, Some(true));
        assert_eq!(
            context.capabilities.unwrap().drop,
            Some(vec!["ALL".to_owned()])
        );
        assert_eq!(pod.containers[0].image.as_deref(), Some("coredns:1"));
    }

    #[test]
    fn the_domain_is_the_clusters() {
        assert!(corefile("example.org").contains("kubernetes example.org in-addr.arpa"));
    }
}
