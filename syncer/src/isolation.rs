//! Attempts of a tenant to reach what is not its own, through every field that names something. In the
//! host namespace are the cluster's own keys and accounts, elsewhere those of others.

use k8s_openapi::api::{
    core::v1::{Pod, Service},
    networking::v1::{Ingress, NetworkPolicy},
    policy::v1::PodDisruptionBudget,
};
use kube::ResourceExt;
use rstest::rstest;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::{
    addons, cover, labels,
    optional::Items as _,
    resource::{ResourceSyncer, TranslateError, Translation, tests::translation},
    resources::{
        endpoint_slice::EndpointSlices, endpoints::EndpointsOfServices, ingress::Ingresses,
        network_policy::NetworkPolicies, persistent_volume::PersistentVolumes,
        persistent_volume_claim::PersistentVolumeClaims, pod::Pods,
        pod_disruption_budget::PodDisruptionBudgets, secret::Secrets, service::Services,
        service_account::ServiceAccounts, storage_class::StorageClasses,
    },
};

/// What a tenant is after: the secret with the keys, and the account with the rights on the host.
const PRIZE: &str = "prize";
/// Where more of that lies.
const ELSEWHERE: &str = "elsewhere";

/// Everything that a tenant may ask for is switched on.
fn generous() -> Translation {
    let mut cx = translation();
    let mut facts = cx.facts.as_ref().clone();
    let to_host = &mut facts.sync.to_host;
    to_host.persistent_volumes.enabled = true;
    to_host.storage_classes.enabled = true;
    cx.facts = facts.into();
    cx
}

fn object<K: DeserializeOwned>(rest: Value) -> K {
    let mut object =
        json!({"metadata": {"name": "web", "namespace": "default", "uid": "uid-of-web"}});
    merge(&mut object, rest);
    serde_json::from_value(object).unwrap()
}

fn merge(into: &mut Value, from: Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (into, from) => *into = from,
    }
}

/// The paths at which `value` says where the prize is.
fn finds(value: &Value, path: &str, found: &mut Vec<String>) {
    match value {
        Value::String(text) => {
            let words: Vec<_> = text.split(['/', ',']).collect();
            if words.contains(&PRIZE) || words.contains(&ELSEWHERE) {
                found.push(path.to_owned());
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                finds(item, &format!("{path}[{index}]"), found);
            }
        }
        Value::Object(fields) => {
            for (key, field) in fields {
                finds(field, &format!("{path}.{key}"), found);
            }
        }
        _ => {}
    }
}

/// What goes to the host must not lead to the prize; refusing is as good.
#[track_caller]
fn check<R: ResourceSyncer>(rest: Value) {
    let object: R::Object = object(rest);
    let mut attempt = Vec::new();
    finds(&serde_json::to_value(&object).unwrap(), "", &mut attempt);
    assert!(
        !attempt.is_empty(),
        "the attempt itself was lost: {object:?}"
    );
    match R::to_host(&object, &generous()) {
        Err(TranslateError::Unsupported { .. }) => {}
        Err(other) => panic!("{other:?}"),
        Ok(host) => {
            let host = serde_json::to_value(host).unwrap();
            let mut found = Vec::new();
            finds(&host, "", &mut found);
            assert!(found.is_empty(), "{found:?} in {host}");
        }
    }
}

#[rstest]
#[case::config_map(json!({"configMap": {"name": PRIZE}}))]
#[case::secret(json!({"secret": {"secretName": PRIZE}}))]
#[case::claim(json!({"persistentVolumeClaim": {"claimName": PRIZE}}))]
#[case::claim_template(json!({"ephemeral": {"volumeClaimTemplate": {"spec": {"volumeName": PRIZE}}}}))]
#[case::projected_config_map(json!({"projected": {"sources": [{"configMap": {"name": PRIZE}}]}}))]
#[case::projected_secret(json!({"projected": {"sources": [{"secret": {"name": PRIZE}}]}}))]
#[case::certificate(json!({"projected": {"sources": [{"podCertificate": {"signerName": "prize/pods", "keyType": "ED25519", "credentialBundlePath": "p"}}]}}))]
#[case::trust(json!({"projected": {"sources": [{"clusterTrustBundle": {"name": PRIZE, "path": "p"}}]}}))]
#[case::driver(json!({"csi": {"driver": "d", "nodePublishSecretRef": {"name": PRIZE}}}))]
#[case::azure_file(json!({"azureFile": {"shareName": "s", "secretName": PRIZE}}))]
#[case::cephfs(json!({"cephfs": {"monitors": [], "secretRef": {"name": PRIZE}}}))]
#[case::cinder(json!({"cinder": {"volumeID": "v", "secretRef": {"name": PRIZE}}}))]
#[case::flex(json!({"flexVolume": {"driver": "d", "secretRef": {"name": PRIZE}}}))]
#[case::glusterfs(json!({"glusterfs": {"endpoints": PRIZE, "path": "p"}}))]
#[case::iscsi(json!({"iscsi": {"iqn": "i", "lun": 0, "targetPortal": "t", "secretRef": {"name": PRIZE}}}))]
#[case::rbd(json!({"rbd": {"image": "i", "monitors": [], "secretRef": {"name": PRIZE}}}))]
#[case::scale_io(json!({"scaleIO": {"gateway": "g", "system": "s", "secretRef": {"name": PRIZE}}}))]
#[case::storageos(json!({"storageos": {"secretRef": {"name": PRIZE}}}))]
fn no_volume_of_a_pod_leads_to_the_hosts_objects(#[case] mut volume: Value) {
    volume["name"] = json!("volume");
    check::<Pods>(json!({"spec": {"containers": [{"name": "main"}], "volumes": [volume]}}));
}

#[rstest]
#[case::config_map_key(json!({"env": [{"name": "A", "valueFrom": {"configMapKeyRef": {"name": PRIZE, "key": "k"}}}]}))]
#[case::secret_key(json!({"env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": PRIZE, "key": "k"}}}]}))]
#[case::config_map(json!({"envFrom": [{"configMapRef": {"name": PRIZE}}]}))]
#[case::secret(json!({"envFrom": [{"secretRef": {"name": PRIZE}}]}))]
fn no_variable_of_a_container_leads_to_the_hosts_objects(#[case] mut container: Value) {
    container["name"] = json!("main");
    check::<Pods>(json!({"spec": {"containers": [container]}}));
    let first = json!({"containers": [{"name": "other"}], "initContainers": [container]});
    check::<Pods>(json!({"spec": first}));
}

#[rstest]
#[case::pull_secret(json!({"imagePullSecrets": [{"name": PRIZE}]}))]
#[case::account(json!({"serviceAccountName": PRIZE}))]
#[case::account_by_its_old_name(json!({"serviceAccount": PRIZE}))]
#[case::priority(json!({"priorityClassName": PRIZE}))]
#[case::group(json!({"schedulingGroup": {"podGroupName": PRIZE}}))]
#[case::scheduler(json!({"schedulerName": PRIZE}))]
#[case::device(json!({"resourceClaims": [{"name": "gpu", "resourceClaimName": PRIZE}]}))]
#[case::device_of_a_template(json!({"resourceClaims": [{"name": "gpu", "resourceClaimTemplateName": PRIZE}]}))]
fn no_name_in_a_pod_is_one_of_the_hosts(#[case] mut spec: Value) {
    spec["containers"] = json!([{"name": "main"}]);
    let pod: Pod = object(json!({"spec": spec}));
    // The tenant may know what it wrote itself.
    let host = Pods::to_host(&pod, &generous()).unwrap();
    let mut found = Vec::new();
    finds(&serde_json::to_value(&host.spec).unwrap(), "", &mut found);
    assert!(found.is_empty(), "{found:?}");
}

#[test]
fn no_pod_runs_as_a_class_of_the_host_says_that_the_tenant_does_not_see() {
    check::<Pods>(json!({"spec": {"containers": [], "runtimeClassName": PRIZE}}));
}

/// Add-ons of the host act on what they find in its objects, with rights of their own.
#[rstest]
#[case::networks("k8s.v1.cni.cncf.io/networks")]
#[case::usual_network("v1.multus-cni.io/default-network")]
#[case::address("cni.projectcalico.org/ipAddrs")]
#[case::gateway("egress.projectcalico.org/selector")]
#[case::subnet("ovn.kubernetes.io/logical_switch")]
#[case::shared_address("metallb.io/allow-shared-ip")]
#[case::cloud_role("iam.amazonaws.com/role")]
#[case::vault("vault.hashicorp.com/agent-inject")]
#[case::mesh("linkerd.io/inject")]
#[case::mesh_by_a_template("inject.istio.io/templates")]
#[case::certificate("cert-manager.io/cluster-issuer")]
#[case::name("external-dns.alpha.kubernetes.io/hostname")]
#[case::copy_of_anothers("replicator.v1.mittwald.de/replicate-from")]
#[case::copy_to_others("reflector.v1.k8s.emberstack.com/reflection-auto-namespaces")]
fn no_annotation_makes_the_hosts_add_ons_give_what_is_not_the_tenants(#[case] key: &str) {
    let asking = json!({"metadata": {"annotations": {key: format!("{ELSEWHERE}/{PRIZE}")}}});
    check::<Pods>(asking.clone());
    check::<Services>(asking.clone());
    check::<Ingresses>(asking.clone());
    check::<Secrets>(asking.clone());
    let pod: Pod = object(asking);
    let told = addons::withheld(&pod.metadata, &generous().facts.sync.to_host);
    assert!(told.is_some_and(|told| told.contains(key)));
}

#[rstest]
#[case::mesh("sidecar.istio.io/inject")]
#[case::mesh_of_a_revision("istio.io/rev")]
#[case::mesh_of_the_node("istio.io/dataplane-mode")]
#[case::cloud_identity("aadpodidbinding")]
fn no_label_makes_the_hosts_add_ons_give_what_is_not_the_tenants(#[case] key: &str) {
    check::<Pods>(json!({"metadata": {"labels": {key: PRIZE}}}));
}

#[rstest]
#[case::volume(json!({"volumeName": PRIZE}))]
#[case::source(json!({"dataSource": {"kind": "PersistentVolumeClaim", "name": PRIZE}}))]
#[case::source_elsewhere(json!({"dataSourceRef": {"kind": "PersistentVolumeClaim", "name": PRIZE, "namespace": ELSEWHERE}}))]
fn no_claim_gets_anothers_data(#[case] mut spec: Value) {
    spec["storageClassName"] = json!("fast");
    check::<PersistentVolumeClaims>(json!({"spec": spec}));
}

fn secret() -> Value {
    json!({"name": PRIZE, "namespace": ELSEWHERE})
}

#[rstest]
#[case::azure_file(json!({"azureFile": {"shareName": "s", "secretName": PRIZE, "secretNamespace": ELSEWHERE}}))]
#[case::cephfs(json!({"cephfs": {"monitors": [], "secretRef": secret()}}))]
#[case::cinder(json!({"cinder": {"volumeID": "v", "secretRef": secret()}}))]
#[case::driver_expands(json!({"csi": {"driver": "d", "volumeHandle": "v", "controllerExpandSecretRef": secret()}}))]
#[case::driver_attaches(json!({"csi": {"driver": "d", "volumeHandle": "v", "controllerPublishSecretRef": secret()}}))]
#[case::driver_expands_on_the_node(json!({"csi": {"driver": "d", "volumeHandle": "v", "nodeExpandSecretRef": secret()}}))]
#[case::driver_mounts(json!({"csi": {"driver": "d", "volumeHandle": "v", "nodePublishSecretRef": secret()}}))]
#[case::driver_stages(json!({"csi": {"driver": "d", "volumeHandle": "v", "nodeStageSecretRef": secret()}}))]
#[case::flex(json!({"flexVolume": {"driver": "d", "secretRef": secret()}}))]
#[case::glusterfs(json!({"glusterfs": {"endpoints": PRIZE, "endpointsNamespace": ELSEWHERE, "path": "p"}}))]
#[case::iscsi(json!({"iscsi": {"iqn": "i", "lun": 0, "targetPortal": "t", "secretRef": secret()}}))]
#[case::rbd(json!({"rbd": {"image": "i", "monitors": [], "secretRef": secret()}}))]
#[case::scale_io(json!({"scaleIO": {"gateway": "g", "system": "s", "secretRef": secret()}}))]
#[case::storageos(json!({"storageos": {"secretRef": secret()}}))]
#[case::without_a_namespace(json!({"rbd": {"image": "i", "monitors": [], "secretRef": {"name": PRIZE}}}))]
#[case::claim(json!({"hostPath": {"path": "/"}, "claimRef": {"name": PRIZE, "namespace": ELSEWHERE}}))]
fn no_volume_of_a_tenant_uses_anothers_secrets(#[case] spec: Value) {
    check::<PersistentVolumes>(json!({"metadata": {"namespace": null}, "spec": spec}));
}

#[rstest]
#[case::name("csi.storage.k8s.io/provisioner-secret-name", PRIZE)]
#[case::namespace("csi.storage.k8s.io/node-stage-secret-namespace", ELSEWHERE)]
#[case::old("adminSecretName", PRIZE)]
#[case::old_namespace("userSecretNamespace", ELSEWHERE)]
fn no_class_of_a_tenant_uses_anothers_secrets(#[case] key: &str, #[case] value: &str) {
    check::<StorageClasses>(json!({
        "metadata": {"namespace": null}, "provisioner": "p", "parameters": {key: value},
    }));
}

#[rstest]
#[case::certificate(json!({"spec": {"tls": [{"secretName": PRIZE}]}}))]
#[case::usual_backend(json!({"spec": {"defaultBackend": {"service": {"name": PRIZE}}}}))]
#[case::backend(json!({"spec": {"rules": [{"http": {"paths": [{"pathType": "Exact", "backend": {"service": {"name": PRIZE}}}]}}]}}))]
#[case::resource(json!({"spec": {"defaultBackend": {"resource": {"kind": "Secret", "name": PRIZE}}}}))]
#[case::users(json!({"metadata": {"annotations": {"nginx.ingress.kubernetes.io/auth-secret": PRIZE}}}))]
#[case::users_elsewhere(json!({"metadata": {"annotations": {"nginx.ingress.kubernetes.io/auth-tls-secret": format!("{ELSEWHERE}/{PRIZE}")}}}))]
#[case::users_of_another_controller(json!({"metadata": {"annotations": {"haproxy-ingress.github.io/auth-secret": format!("{ELSEWHERE}/{PRIZE}")}}}))]
#[case::headers(json!({"metadata": {"annotations": {"nginx.ingress.kubernetes.io/auth-proxy-set-headers": format!("{ELSEWHERE}/{PRIZE}")}}}))]
#[case::parameters(json!({"metadata": {"annotations": {"nginx.ingress.kubernetes.io/fastcgi-params-configmap": format!("{ELSEWHERE}/{PRIZE}")}}}))]
#[case::backend_by_annotation(json!({"metadata": {"annotations": {"nginx.ingress.kubernetes.io/default-backend": PRIZE}}}))]
#[case::configuration(json!({"metadata": {"annotations": {"nginx.ingress.kubernetes.io/configuration-snippet": format!("alias /{PRIZE};")}}}))]
#[case::middleware(json!({"metadata": {"annotations": {"traefik.ingress.kubernetes.io/router.middlewares": format!("{ELSEWHERE}/{PRIZE}")}}}))]
#[case::action(json!({"metadata": {"annotations": {"alb.ingress.kubernetes.io/actions.x": "{\"forwardConfig\":{\"targetGroups\":[{\"serviceName\":\"prize\"}]}}", "note": PRIZE}}}))]
fn no_ingress_leads_to_the_hosts_objects(#[case] rest: Value) {
    let ingress: Ingress = object(rest);
    let mut host = Ingresses::to_host(&ingress, &generous()).unwrap();
    host.annotations_mut().remove("note");
    let host = serde_json::to_value(host).unwrap();
    let mut found = Vec::new();
    finds(&host, "", &mut found);
    assert!(found.is_empty(), "{found:?} in {host}");
    assert!(!host.to_string().contains("\\\"prize\\\""), "{host}");
}

/// What is not the tenant's by an address or a name rather than as an object. Others than the tenant
/// would be led there, or away from where they want to go: CVE-2020-8554 and CVE-2021-25740.
#[test]
fn no_service_takes_others_traffic_or_leads_them_elsewhere() {
    let cx = generous();
    let service: Service = object(json!({"spec": {"externalIPs": [PRIZE]}}));
    let host = serde_json::to_string(&Services::to_host(&service, &cx).unwrap()).unwrap();
    assert!(!host.contains(PRIZE), "{host}");
    assert!(
        Services::withheld(&service, &cx).is_some(),
        "nobody is told"
    );
    let name = format!("{PRIZE}.{ELSEWHERE}.svc.cluster.local");
    let service = object(json!({"spec": {"type": "ExternalName", "externalName": name}}));
    assert!(!Services::selects(&service, &cx));
    for type_ in ["NodePort", "LoadBalancer"] {
        let mut cx = cx.clone();
        let service: Service = object(json!({"spec": {"type": type_}}));
        cx.around.services = vec![service.into()];
        let endpoints = object(json!({"subsets": [{"addresses": [{"ip": "10.244.9.9"}]}]}));
        let host = EndpointsOfServices::to_host(&endpoints, &cx).unwrap();
        assert_eq!(host.subsets, Some(Vec::new()), "{type_}");
        assert!(EndpointsOfServices::withheld(&endpoints, &cx).is_some());
        let slice = object(json!({
            "addressType": "IPv4", "endpoints": [{"addresses": ["10.244.9.9"]}],
        }));
        let host = EndpointSlices::to_host(&slice, &cx).unwrap();
        assert_eq!(host.endpoints.items().len(), 0, "{type_}");
        assert!(EndpointSlices::withheld(&slice, &cx).is_some());
    }
}

/// Where the host's load balancer takes its address from, and who may come through it, is the word of
/// the host's own controller, which gives no address twice.
#[test]
fn what_a_load_balancer_is_asked_for_goes_to_the_host() {
    let wish = json!({"type": "LoadBalancer", "loadBalancerIP": "192.0.2.7",
        "loadBalancerSourceRanges": ["198.51.100.0/24"], "loadBalancerClass": "example.com/fast"});
    let service: Service = object(json!({"spec": wish}));
    let host = Services::to_host(&service, &generous()).unwrap();
    let host = serde_json::to_value(host.spec).unwrap();
    for (key, value) in wish.as_object().unwrap() {
        assert_eq!(&host[key], value, "{key}");
    }
}

/// What makes a pod part of its node is neither hidden nor softened: how much of that a tenant may have is
/// for the host's pod security admission to say, whose refusal the tenant is told.
#[rstest]
#[case::network(json!({"hostNetwork": true}))]
#[case::processes(json!({"hostPID": true}))]
#[case::memory(json!({"hostIPC": true}))]
#[case::files(json!({"volumes": [{"name": "root", "hostPath": {"path": "/"}}]}))]
#[case::everything(json!({"containers": [{"name": "main", "securityContext": {"privileged": true}}]}))]
#[case::ports(json!({"containers": [{"name": "main", "ports": [{"containerPort": 80, "hostPort": 80}]}]}))]
fn what_only_the_hosts_admission_may_refuse_is_asked_for(#[case] mut spec: Value) {
    let asked = spec.clone();
    if spec.get("containers").is_none() {
        spec["containers"] = json!([{"name": "main"}]);
    }
    let pod: Pod = object(json!({"spec": spec}));
    let host = serde_json::to_value(Pods::to_host(&pod, &generous()).unwrap().spec).unwrap();
    assert!(cover::covers(&host, &asked), "{asked} is not in {host}");
}

#[test]
fn an_account_brings_no_secrets_along() {
    check::<ServiceAccounts>(
        json!({"secrets": [{"name": PRIZE}], "imagePullSecrets": [{"name": PRIZE}]}),
    );
}

/// Labels by which the host, the harness and this syncer find things.
const MARKS: &[&str] = &[
    labels::MANAGED_BY,
    labels::NAMESPACE,
    labels::CONTROLLED_BY,
    labels::TOKENS,
    "vcluster-test.dev/control-plane",
    "vcluster-test.dev/cluster",
    // As the labels of another namespace appear on its pods.
    "vcluster.loft.sh/ns-label-test-x-0123456789",
    // As a tenant's own labels of these keys do.
    "vcluster.loft.sh/label-test-x-0123456789",
];

#[test]
fn no_label_of_a_tenant_is_taken_for_one_of_ours() {
    for mark in MARKS {
        let pod: Pod = object(json!({
            "metadata": {"labels": {*mark: PRIZE}}, "spec": {"containers": []},
        }));
        let host = Pods::to_host(&pod, &generous()).unwrap();
        assert_ne!(
            host.labels().get(*mark).map(String::as_str),
            Some(PRIZE),
            "{mark}"
        );
    }
}

#[test]
fn no_annotation_of_a_tenant_makes_a_twin_another_objects() {
    for key in [
        labels::OBJECT_NAME,
        labels::OBJECT_NAMESPACE,
        labels::OBJECT_UID,
        labels::OBJECT_KIND,
        labels::OBJECT_HOST_NAME,
        labels::OBJECT_HOST_NAMESPACE,
        labels::APPLIED,
        labels::RESOURCES,
        labels::MANAGED_LABELS,
        labels::MANAGED_ANNOTATIONS,
    ] {
        let pod: Pod = object(json!({
            "metadata": {"annotations": {key: PRIZE}}, "spec": {"containers": []},
        }));
        let host = Pods::to_host(&pod, &generous()).unwrap();
        assert_ne!(
            host.annotations().get(key).map(String::as_str),
            Some(PRIZE),
            "{key}"
        );
    }
}

/// Selectors of everything, which on the host would be more than the tenant's.
#[test]
fn no_selector_reaches_beyond_the_tenants_namespace() {
    let cx = generous();
    let anything = json!({"matchLabels": {MARKS[0]: "other"}, "matchExpressions": [{"key": "vcluster-test.dev/control-plane", "operator": "Exists"}]});
    let service: Service = object(
        json!({"spec": {"selector": {MARKS[0]: "other", "vcluster-test.dev/control-plane": "test"}}}),
    );
    let policy: NetworkPolicy = object(
        json!({"spec": {"podSelector": anything, "ingress": [{"from": [{"namespaceSelector": {}}, {"podSelector": {}}]}]}}),
    );
    let budget: PodDisruptionBudget = object(json!({"spec": {"selector": anything}}));
    let term = json!({"labelSelector": anything, "namespaceSelector": {}, "topologyKey": "zone"});
    let pod: Pod = object(json!({"spec": {"containers": [], "affinity": {
        "podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]},
        "podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 1, "podAffinityTerm": term}]},
    }, "topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule", "labelSelector": anything}]}}));
    let json = |host| serde_json::to_value(host).unwrap();
    let hosts = [
        serde_json::to_value(Services::to_host(&service, &cx).unwrap().spec).unwrap(),
        serde_json::to_value(NetworkPolicies::to_host(&policy, &cx).unwrap().spec).unwrap(),
        serde_json::to_value(PodDisruptionBudgets::to_host(&budget, &cx).unwrap().spec).unwrap(),
        json(Pods::to_host(&pod, &cx).unwrap().spec),
    ];
    for host in hosts {
        let mut selectors = Vec::new();
        collect_selectors(&host, &mut selectors);
        assert!(!selectors.is_empty(), "{host}");
        for selector in selectors {
            assert_eq!(selector[labels::MANAGED_BY], "test", "{selector} in {host}");
        }
        let text = host.to_string();
        assert!(!text.contains("vcluster-test.dev/control-plane"), "{text}");
        assert!(!text.contains("\"namespaceSelector\":{}"), "{text}");
    }
}

/// Everything that chooses pods.
fn collect_selectors<'a>(value: &'a Value, found: &mut Vec<&'a Value>) {
    match value {
        Value::Object(fields) => {
            for (key, field) in fields {
                match key.as_str() {
                    "podSelector" | "labelSelector" => found.push(&field["matchLabels"]),
                    "selector" if field.get("matchLabels").is_some() => {
                        found.push(&field["matchLabels"]);
                    }
                    "selector" => found.push(field),
                    _ => collect_selectors(field, found),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| collect_selectors(item, found)),
        _ => {}
    }
}
