//! kubeadm's configuration of a node: kind's, with settings for tests. Pure.
//!
//! Documents are made in the shape that kind users write patches for (`extraArgs` as a map) and turned
//! into the newest shape at the end, so that a patch works with every version, in either shape.

use std::net::IpAddr;

use serde_json::{Map, Value, json};

use super::{super::Error, container::API_PORT, find::NodeRole, options::KindOptions};
use crate::version::KubernetesVersion;

/// Where the configuration lies in the node.
pub(super) const PATH: &str = "/kind/kubeadm.conf";

/// kind's well-known token; it is worth nothing outside the Docker network.
const TOKEN: &str = "abcdef.0123456789abcdef";

/// What is known of a node when it is about to be configured.
#[derive(Debug, Clone, Copy)]
pub(super) struct NodeFacts<'a> {
    pub(super) name: &'a str,
    pub(super) role: NodeRole,
    pub(super) address: IpAddr,
    /// The one of the other family.
    pub(super) second_address: Option<IpAddr>,
    /// As the image says it, such as `v1.34.2` or `v1.35.0-alpha.1`.
    pub(super) release: &'a str,
    pub(super) version: KubernetesVersion,
    pub(super) is_rootless: bool,
}

/// The configuration of one node, as YAML documents.
///
/// # Errors
/// A patch is not YAML, or has no known `kind`.
pub(super) fn config(options: &KindOptions, node: NodeFacts<'_>) -> Result<String, Error> {
    let mut documents = vec![
        cluster(options, node),
        init(options, node),
        join(options, node),
        kubelet(options, node),
        kube_proxy(options, node),
    ];
    for patch in &options.kubeadm_patches {
        apply_patch(&mut documents, patch)?;
    }
    if has_argument_lists(node.version) {
        documents.iter_mut().for_each(arguments_to_lists);
    }
    let render = |document: &Value| {
        serde_yaml_ng::to_string(document).map_err(|error| bad_patch("", &error.to_string()))
    };
    let texts = documents
        .iter()
        .map(render)
        .collect::<Result<Vec<_>, _>>()?;
    Ok(texts.join("---\n"))
}

fn cluster(options: &KindOptions, node: NodeFacts<'_>) -> Value {
    let gates = gates(options, node);
    let arguments = |pairs: &[(&str, &str)]| {
        let mut map: Map<String, Value> = pairs
            .iter()
            .map(|(key, value)| ((*key).to_owned(), json!(value)))
            .collect();
        if !gates.is_empty() {
            map.insert("feature-gates".to_owned(), json!(gates_text(&gates)));
        }
        map
    };
    // With two families the plain name is refused.
    let node_mask = if options.is_dual_stack() {
        "node-cidr-mask-size-ipv4"
    } else {
        "node-cidr-mask-size"
    };
    let mut cluster = json!({
        "apiVersion": kubeadm_version(node.version),
        "kind": "ClusterConfiguration",
        "kubernetesVersion": node.release,
        "clusterName": options.name,
        "controlPlaneEndpoint": endpoint(options),
        "apiServer": {
            "certSANs": ["localhost", "127.0.0.1", node.address],
            "extraArgs": arguments(&[("runtime-config", "")]),
        },
        // One control plane: nobody to elect, and nobody to be kind to.
        "controllerManager": {"extraArgs": arguments(&[
            ("enable-hostpath-provisioner", "true"),
            ("leader-elect", "false"),
            ("kube-api-qps", "200"),
            ("kube-api-burst", "400"),
            ("concurrent-namespace-syncs", "30"),
            ("concurrent-gc-syncs", "40"),
            (node_mask, "22"),
        ])},
        "scheduler": {"extraArgs": arguments(&[
            ("leader-elect", "false"),
            ("kube-api-qps", "200"),
            ("kube-api-burst", "400"),
        ])},
        // A host that loses power is made again.
        "etcd": {"local": {"extraArgs": {"unsafe-no-fsync": "true"}}},
        "networking": {
            "podSubnet": options.pod_subnet,
            "serviceSubnet": options.service_subnet,
        },
    });
    if has_argument_lists(node.version) {
        // A tenth of the time that RSA keys take.
        cluster["encryptionAlgorithm"] = json!("ECDSA-P256");
    }
    cluster
}

fn init(options: &KindOptions, node: NodeFacts<'_>) -> Value {
    let mut registration = registration(options, node);
    // Nodes are few here, so this one runs pods too.
    registration["taints"] = json!([]);
    json!({
        "apiVersion": kubeadm_version(node.version),
        "kind": "InitConfiguration",
        "bootstrapTokens": [{"token": TOKEN}],
        "localAPIEndpoint": {"advertiseAddress": node.address, "bindPort": API_PORT},
        "nodeRegistration": registration,
        // It would pull images, which the node image has.
        "skipPhases": ["preflight"],
    })
}

fn join(options: &KindOptions, node: NodeFacts<'_>) -> Value {
    let mut join = json!({
        "apiVersion": kubeadm_version(node.version),
        "kind": "JoinConfiguration",
        "nodeRegistration": registration(options, node),
        "discovery": {"bootstrapToken": {
            "apiServerEndpoint": endpoint(options),
            "token": TOKEN,
            "unsafeSkipCAVerification": true,
        }},
        "skipPhases": ["preflight"],
    });
    if node.role == NodeRole::ControlPlane {
        join["controlPlane"] = json!({
            "localAPIEndpoint": {"advertiseAddress": node.address, "bindPort": API_PORT},
        });
    }
    join
}

fn registration(options: &KindOptions, node: NodeFacts<'_>) -> Value {
    let labels: Vec<String> = options
        .node_labels
        .iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    json!({
        "criSocket": "unix:///run/containerd/containerd.sock",
        "kubeletExtraArgs": {
            "node-ip": node_ip(options, node),
            "provider-id": format!("kind://docker/{}/{}", options.name, node.name),
            "node-labels": labels.join(","),
        },
    })
}

/// A node of one family has one address, also where the engine gave it two.
fn node_ip(options: &KindOptions, node: NodeFacts<'_>) -> String {
    match node.second_address {
        Some(second) if options.is_dual_stack() => format!("{},{second}", node.address),
        _ => node.address.to_string(),
    }
}

fn kubelet(options: &KindOptions, node: NodeFacts<'_>) -> Value {
    let mut kubelet = json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "cgroupDriver": "systemd",
        "cgroupRoot": "/kubelet",
        "failSwapOn": false,
        // The disk is the machine's, and the kubelet must not try to make room on it.
        "imageGCHighThresholdPercent": 100,
        "evictionHard": {
            "nodefs.available": "0%",
            "nodefs.inodesFree": "0%",
            "imagefs.available": "0%",
            "imagefs.inodesFree": "0%",
        },
        // Many small clusters start and end at once.
        "maxPods": 500,
        "serializeImagePulls": false,
        "registryPullQPS": 0,
        "kubeAPIQPS": 200,
        "kubeAPIBurst": 400,
        "eventRecordQPS": 200,
        "eventBurst": 400,
        "nodeStatusUpdateFrequency": "4s",
        // Said or not, it would be as often as the above: every node would be written all the time.
        "nodeStatusReportFrequency": "5m",
    });
    let gates = gates(options, node);
    if !gates.is_empty() {
        kubelet["featureGates"] = Value::Object(gates.into_iter().collect());
    }
    if (node.version.major, node.version.minor) >= (1, 35) {
        // From 1.35 on the kubelet refuses cgroup v1 unless told otherwise; on v2 it means nothing.
        kubelet["failCgroupV1"] = json!(false);
    }
    kubelet
}

fn kube_proxy(options: &KindOptions, node: NodeFacts<'_>) -> Value {
    let mut conntrack = json!({"maxPerCore": 0});
    if node.is_rootless {
        conntrack["tcpEstablishedTimeout"] = json!("0s");
        conntrack["tcpCloseWaitTimeout"] = json!("0s");
    }
    let mut proxy = json!({
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "iptables",
        // The default waits a second before it follows a change of services.
        "iptables": {"minSyncPeriod": "0s"},
        "conntrack": conntrack,
    });
    let gates = gates(options, node);
    if !gates.is_empty() {
        proxy["featureGates"] = Value::Object(gates.into_iter().collect());
    }
    proxy
}

fn endpoint(options: &KindOptions) -> String {
    format!("{}-control-plane:{API_PORT}", options.name)
}

fn gates(options: &KindOptions, node: NodeFacts<'_>) -> Vec<(String, Value)> {
    let mut gates: Vec<(String, Value)> = options
        .feature_gates
        .iter()
        .map(|(name, on)| (name.clone(), json!(on)))
        .collect();
    if node.is_rootless {
        gates.push(("KubeletInUserNamespace".to_owned(), json!(true)));
    }
    gates
}

fn gates_text(gates: &[(String, Value)]) -> String {
    let texts: Vec<String> = gates
        .iter()
        .map(|(name, on)| format!("{name}={on}"))
        .collect();
    texts.join(",")
}

fn kubeadm_version(version: KubernetesVersion) -> &'static str {
    if has_argument_lists(version) {
        "kubeadm.k8s.io/v1beta4"
    } else {
        "kubeadm.k8s.io/v1beta3"
    }
}

/// Does this version know kubeadm's v1beta4?
fn has_argument_lists(version: KubernetesVersion) -> bool {
    (version.major, version.minor) >= (1, 31)
}

fn apply_patch(documents: &mut [Value], text: &str) -> Result<(), Error> {
    for document in serde_yaml_ng::Deserializer::from_str(text) {
        let mut patch = <Value as serde::Deserialize>::deserialize(document)
            .map_err(|error| bad_patch(text, &error.to_string()))?;
        if patch.is_null() {
            continue;
        }
        let kind = patch["kind"].as_str().map(str::to_owned);
        let Some(target) = documents
            .iter_mut()
            .find(|document| kind.is_some() && document["kind"].as_str() == kind.as_deref())
        else {
            let reason = "its `kind` is none of ClusterConfiguration, InitConfiguration, \
                          JoinConfiguration, KubeletConfiguration, KubeProxyConfiguration";
            return Err(bad_patch(text, reason));
        };
        // The version is ours to choose.
        if let Some(fields) = patch.as_object_mut() {
            fields.remove("apiVersion");
            fields.remove("metadata");
        }
        arguments_to_maps(&mut patch);
        merge(target, patch);
    }
    Ok(())
}

fn bad_patch(text: &str, reason: &str) -> Error {
    Error::Option {
        option: "kubeadm patch",
        value: text.trim().to_owned(),
        reason: reason.to_owned(),
    }
}

/// JSON merge patch (RFC 7386).
fn merge(target: &mut Value, patch: Value) {
    let Value::Object(fields) = patch else {
        *target = patch;
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    let Some(object) = target.as_object_mut() else {
        return;
    };
    for (key, value) in fields {
        if value.is_null() {
            object.remove(&key);
        } else {
            merge(object.entry(key).or_insert(Value::Null), value);
        }
    }
}

fn is_arguments(key: &str) -> bool {
    matches!(key, "extraArgs" | "kubeletExtraArgs")
}

/// `{a: b}` becomes `[{name: a, value: b}]` wherever arguments are listed.
fn arguments_to_lists(value: &mut Value) {
    let Value::Object(fields) = value else {
        return;
    };
    for (key, value) in fields {
        match value {
            Value::Object(map) if is_arguments(key) => {
                let list = map
                    .iter()
                    .map(|(name, value)| json!({"name": name, "value": value}))
                    .collect();
                *value = Value::Array(list);
            }
            other => arguments_to_lists(other),
        }
    }
}

/// The way back: a patch may be written in the newer shape.
fn arguments_to_maps(value: &mut Value) {
    let Value::Object(fields) = value else {
        return;
    };
    for (key, value) in fields {
        match value {
            Value::Array(list) if is_arguments(key) => {
                let map = list
                    .iter()
                    .filter_map(|item| {
                        Some((item["name"].as_str()?.to_owned(), item["value"].clone()))
                    })
                    .collect();
                *value = Value::Object(map);
            }
            other => arguments_to_maps(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn options() -> KindOptions {
        KindOptions {
            name: "web".to_owned(),
            image: "kindest/node:v1.34.2".to_owned(),
            ..KindOptions::default()
        }
    }

    fn node(version: &str) -> NodeFacts<'_> {
        NodeFacts {
            name: "web-control-plane",
            role: NodeRole::ControlPlane,
            address: [172, 18, 0, 2].into(),
            second_address: None,
            release: version,
            version: version.parse().unwrap(),
            is_rootless: false,
        }
    }

    fn patched(patch: &str, version: &str) -> Vec<Value> {
        let options = KindOptions {
            kubeadm_patches: vec![patch.to_owned()],
            ..options()
        };
        let text = config(&options, node(version)).unwrap();
        serde_yaml_ng::Deserializer::from_str(&text)
            .map(|document| serde::Deserialize::deserialize(document).unwrap())
            .collect()
    }

    #[test]
    fn one_node_of_a_new_version() {
        insta::assert_snapshot!(config(&options(), node("v1.34.2")).unwrap());
    }

    #[test]
    fn one_node_of_two_families() {
        let facts = NodeFacts {
            second_address: "fc00::2".parse().ok(),
            ..node("v1.34.2")
        };
        let configuration = config(&options().dual_stack(), facts).unwrap();
        for line in [
            "podSubnet: 10.244.0.0/16,fd00:10:244::/56",
            "serviceSubnet: 10.96.0.0/12,fd00:10:96::/112",
            "value: 172.18.0.2,fc00::2",
            "name: node-cidr-mask-size-ipv4",
        ] {
            let mut lines = configuration.lines();
            assert!(
                lines.any(|found| found.trim_start_matches([' ', '-']) == line),
                "{line} in {configuration}"
            );
        }
        // A host of one family is as it is elsewhere.
        let one = config(&options(), facts).unwrap();
        assert_eq!(one, config(&options(), node("v1.34.2")).unwrap());
    }

    #[test]
    fn a_worker_of_an_old_version() {
        let options = KindOptions {
            workers: 1,
            node_labels: vec![("zone".to_owned(), "a".to_owned())],
            feature_gates: vec![("Sidecars".to_owned(), true)],
            ..options()
        };
        let facts = NodeFacts {
            role: NodeRole::Worker,
            name: "web-worker",
            ..node("v1.30.4")
        };
        insta::assert_snapshot!(config(&options, facts).unwrap());
    }

    #[rstest]
    #[case::refuses_v1("1.35.0", true)]
    #[case::takes_v1("1.34.9", false)]
    fn cgroup_v1_is_allowed_where_it_is_refused(#[case] version: &str, #[case] expected: bool) {
        let text = config(&options(), node(version)).unwrap();
        assert_eq!(text.contains("failCgroupV1: false"), expected);
    }

    #[rstest]
    #[case::as_a_map("{kind: ClusterConfiguration, apiServer: {extraArgs: {v: '7'}}}")]
    #[case::as_a_list(
        "{kind: ClusterConfiguration, apiServer: {extraArgs: [{name: v, value: '7'}]}}"
    )]
    fn a_patch_may_have_either_shape(#[case] patch: &str) {
        let new = patched(patch, "v1.34.2");
        let arguments = new[0]["apiServer"]["extraArgs"].as_array().unwrap();
        assert!(arguments.contains(&json!({"name": "v", "value": "7"})));
        let old = patched(patch, "v1.30.0");
        assert_eq!(old[0]["apiServer"]["extraArgs"]["v"], "7");
    }

    #[test]
    fn a_patch_adds_changes_and_removes() {
        let patch =
            "kind: KubeletConfiguration\nmaxPods: 9\nserializeImagePulls: null\nnew: {a: 1}";
        let kubelet = &patched(patch, "v1.34.2")[3];
        assert_eq!(
            (&kubelet["maxPods"], &kubelet["new"]["a"]),
            (&json!(9), &json!(1))
        );
        assert_eq!(kubelet.get("serializeImagePulls"), None);
        assert_eq!(kubelet["failSwapOn"], false);
    }

    #[rstest]
    #[case::no_yaml("{")]
    #[case::no_kind("apiServer: {}")]
    #[case::an_unknown_kind("kind: Deployment")]
    fn a_bad_patch_is_refused(#[case] patch: &str) {
        let options = KindOptions {
            kubeadm_patches: vec![patch.to_owned()],
            ..options()
        };
        let error = config(&options, node("v1.34.2")).unwrap_err();
        assert!(error.to_string().contains(patch), "{error}");
    }
}
