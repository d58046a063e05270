//! The host pod that a virtual pod asks for.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::core::v1::{HostAlias, Pod, PodSpec},
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use kube::ResourceExt;

use super::{
    affinity, dns, downward_api,
    env::Environment,
    hosts, newer, place, resize, update,
    volumes::{self, Owner},
};
use crate::{
    labels, metadata,
    resource::{ClusterFacts, TranslateError, Translation},
    resources::priority_class,
};

/// Translates everything that a pod is born with.
pub(super) fn to_host(pod: &Pod, cx: &Translation) -> Result<Pod, TranslateError> {
    let spec = pod.spec.as_ref().map(|spec| spec_to_host(pod, spec, cx));
    let spec = spec.transpose()?;
    Ok(Pod {
        metadata: metadata_to_host(pod, cx)?,
        spec,
        status: None,
    })
}

/// Labels and annotations, which may change during a pod's life.
pub(super) fn metadata_to_host(pod: &Pod, cx: &Translation) -> Result<ObjectMeta, TranslateError> {
    let mut meta = metadata::to_host(&pod.metadata, cx)?;
    let host_labels = meta.labels.get_or_insert_default();
    for (key, value) in &cx.around.namespace_labels {
        host_labels.insert(cx.names.namespace_label_key(key), value.clone());
    }
    let annotations = meta.annotations.get_or_insert_default();
    for (key, value) in downward_api::annotations(pod) {
        annotations.insert(key.to_owned(), value);
    }
    annotations.insert(labels::OBJECT_KIND.to_owned(), metadata::kind_of::<Pod>());
    annotations.insert(labels::RESOURCES.to_owned(), resize::digest(pod));
    if let Some(kind) = owner_kind(pod) {
        annotations.insert(labels::POD_OWNER_KIND.to_owned(), kind.to_owned());
    }
    if let Some(owner) = pod
        .owner_references()
        .iter()
        .find(|owner| owner.controller == Some(true))
    {
        if owner.kind == "DaemonSet" {
            set_default(
                annotations,
                "cluster-autoscaler.kubernetes.io/daemonset-pod",
            );
        }
        set_default(
            annotations,
            "cluster-autoscaler.kubernetes.io/safe-to-evict",
        );
    }
    update::note_managed_keys(&mut meta);
    Ok(meta)
}

fn set_default(annotations: &mut BTreeMap<String, String>, key: &str) {
    annotations
        .entry(key.to_owned())
        .or_insert_with(|| "true".to_owned());
}

fn owner_kind(pod: &Pod) -> Option<&str> {
    let kinds = ["DaemonSet", "Job", "ReplicaSet", "StatefulSet"];
    let owner = pod
        .owner_references()
        .iter()
        .find(|owner| kinds.contains(&owner.kind.as_str()))?;
    Some(&owner.kind)
}

fn spec_to_host(pod: &Pod, spec: &PodSpec, cx: &Translation) -> Result<PodSpec, TranslateError> {
    let (name, namespace) = (pod.name_any(), pod.namespace().unwrap_or_default());
    let uid = pod.uid().unwrap_or_default();
    let owner = Owner {
        name: &name,
        namespace: &namespace,
        uid: &uid,
    };
    volumes::check(spec.volumes.as_deref().unwrap_or_default())?;
    let mut host = spec.clone();

    // The tenant's tokens are not the host's.
    host.service_account_name = Some(account_to_host(spec, &namespace, cx));
    host.service_account = None;
    host.automount_service_account_token = Some(false);
    // The host computes the numbers from its own class.
    host.priority_class_name = priority_class_to_host(spec, cx);
    host.priority = None;
    host.preemption_policy = None;
    // The host computes it from its own runtime class.
    host.overhead = None;
    // The host's scheduler knows no group of the tenant's, and would wait for one.
    newer::take_from_group(&mut host);
    host.ephemeral_containers = None;

    host.hostname = Some(
        spec.hostname
            .clone()
            .filter(|name| !name.is_empty())
            .unwrap_or_else(|| hostname(&name)),
    );
    host.subdomain = None;
    if let Some(image) = hosts::image(pod, spec, cx) {
        hosts::rewrite(&mut host, &namespace, spec, image, &cx.facts.domain);
    }
    host.host_aliases
        .get_or_insert_default()
        .push(api_server_alias(&cx.facts));
    dns::to_host(&mut host, &namespace, &cx.facts);
    affinity::to_host(&mut host, &namespace, &cx.names);
    place::to_host(&mut host, pod, cx)?;

    host.enable_service_links = Some(false);
    let env = Environment::of(spec, &namespace, cx);
    for container in host
        .containers
        .iter_mut()
        .chain(host.init_containers.iter_mut().flatten())
    {
        env.translate(&mut container.env, &mut container.env_from);
    }
    for claim in host.resource_claims.iter_mut().flatten() {
        // They are not synced, and the host's of that name are not the tenant's.
        let names_of_it = [
            &mut claim.resource_claim_name,
            &mut claim.resource_claim_template_name,
        ];
        for name in names_of_it.into_iter().flatten() {
            *name = cx.names.host_name(name, &namespace);
        }
    }
    for secret in host.image_pull_secrets.iter_mut().flatten() {
        secret.name = cx.names.host_name(&secret.name, &namespace);
    }
    for volume in host.volumes.iter_mut().flatten() {
        volumes::to_host(volume, &owner, &cx.names);
    }
    Ok(host)
}

/// The account that a pod runs under on the host: one for all, unless the tenant's own are there.
fn account_to_host(spec: &PodSpec, namespace: &str, cx: &Translation) -> String {
    if !cx.facts.sync.to_host.service_accounts.enabled {
        return cx.facts.workload_service_account.clone();
    }
    let own = spec.service_account_name.as_deref();
    let own = own.filter(|name| !name.is_empty()).unwrap_or("default");
    cx.names.host_name(own, namespace)
}

/// The host's class, where the two sides have the same or the tenant's own is there.
fn priority_class_to_host(spec: &PodSpec, cx: &Translation) -> Option<String> {
    let own = spec.priority_class_name.as_ref()?;
    let sync = &cx.facts.sync;
    if sync.from_host.priority_classes.enabled {
        Some(own.clone())
    } else if sync.to_host.priority_classes.enabled && !priority_class::is_system(own) {
        Some(cx.names.cluster_scoped_host_name(own))
    } else {
        None
    }
}

/// What `hostname` says in the containers: the virtual pod's name, as a kubelet would cut it.
fn hostname(pod: &str) -> String {
    let cut = &pod[..pod.floor_char_boundary(63)];
    cut.replace('.', "-").trim_end_matches('-').to_owned()
}

/// The API server's names resolve in every pod, also where the tenant's DNS is not asked.
fn api_server_alias(facts: &ClusterFacts) -> HostAlias {
    let names = [
        "kubernetes".to_owned(),
        "kubernetes.default".to_owned(),
        "kubernetes.default.svc".to_owned(),
        format!("kubernetes.default.svc.{}", facts.domain),
    ];
    HostAlias {
        ip: facts.api.to_string(),
        hostnames: Some(names.to_vec()),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use k8s_openapi::{
        api::core::v1::Container, apimachinery::pkg::apis::meta::v1::OwnerReference,
    };
    use rstest::rstest;
    use serde_json::json;

    use super::*;
    use crate::{metadata::tests::meta, resource::tests::translation};

    /// A virtual pod with one container.
    pub(in crate::resources) fn pod(name: &str) -> Pod {
        Pod {
            metadata: meta("default", name),
            spec: Some(PodSpec {
                containers: vec![Container {
                    name: "main".to_owned(),
                    image: Some("image:1".to_owned()),
                    ..Container::default()
                }],
                service_account_name: Some("builder".to_owned()),
                ..PodSpec::default()
            }),
            status: None,
        }
    }

    fn translated(pod: &Pod) -> Pod {
        to_host(pod, &translation()).unwrap()
    }

    #[test]
    fn a_pod_runs_under_the_hosts_account() {
        let mut pod = pod("web");
        pod.spec.as_mut().unwrap().service_account = Some("builder".to_owned());
        let host = translated(&pod);
        let spec = host.spec.as_ref().unwrap();
        assert_eq!(
            spec.service_account_name.as_deref(),
            Some("vc-workload-test")
        );
        assert_eq!(spec.service_account, None);
        assert_eq!(spec.automount_service_account_token, Some(false));
        assert_eq!(spec.enable_service_links, Some(false));
        assert_eq!(host.annotations()[labels::POD_SERVICE_ACCOUNT], "builder");
    }

    #[test]
    fn classes_stay_behind() {
        let mut pod = pod("web");
        let spec = pod.spec.as_mut().unwrap();
        spec.priority_class_name = Some("high".to_owned());
        spec.priority = Some(1000);
        spec.preemption_policy = Some("Never".to_owned());
        let spec = translated(&pod).spec.unwrap();
        assert_eq!(
            (
                spec.priority_class_name,
                spec.priority,
                spec.preemption_policy
            ),
            (None, None, None)
        );
    }

    #[test]
    fn accounts_and_classes_that_are_synced_are_used() {
        let mut cx = translation();
        let sync = &mut std::sync::Arc::make_mut(&mut cx.facts).sync;
        sync.to_host.service_accounts.enabled = true;
        sync.to_host.priority_classes.enabled = true;
        let mut pod = pod("web");
        let classed = |pod: &Pod| {
            let spec = to_host(pod, &cx).unwrap().spec.unwrap();
            (spec.service_account_name.unwrap(), spec.priority_class_name)
        };
        pod.spec.as_mut().unwrap().priority_class_name = Some("high".to_owned());
        let high = "vcluster-high-x-vcluster-test-x-test".to_owned();
        assert_eq!(
            classed(&pod),
            ("builder-x-default-x-test".to_owned(), Some(high))
        );
        pod.spec.as_mut().unwrap().priority_class_name = Some("system-node-critical".to_owned());
        assert_eq!(classed(&pod).1, None, "the host's own ranks are its own");
    }

    #[rstest]
    #[case::its_name("web-0", None, "web-0")]
    #[case::dots("a.b.c", None, "a-b-c")]
    #[case::too_long(&format!("{}-.{}", "a".repeat(61), "b".repeat(20)), None, &"a".repeat(61))]
    #[case::its_own("web-0", Some("db"), "db")]
    fn hostnames(#[case] name: &str, #[case] own: Option<&str>, #[case] expected: &str) {
        let mut pod = pod(name);
        pod.spec.as_mut().unwrap().hostname = own.map(str::to_owned);
        assert_eq!(
            translated(&pod).spec.unwrap().hostname.as_deref(),
            Some(expected)
        );
    }

    #[test]
    fn the_api_server_has_its_names_everywhere() {
        let aliases = translated(&pod("web")).spec.unwrap().host_aliases.unwrap();
        assert_eq!(aliases[0].ip, "10.96.17.1");
        assert_eq!(aliases[0].hostnames.as_ref().unwrap().len(), 4);
    }

    #[test]
    fn every_container_gets_its_variables() {
        let mut pod = pod("web");
        let spec = pod.spec.as_mut().unwrap();
        spec.init_containers = Some(spec.containers.clone());
        let spec = translated(&pod).spec.unwrap();
        for container in spec
            .containers
            .iter()
            .chain(spec.init_containers.iter().flatten())
        {
            assert_eq!(container.env.as_ref().unwrap().len(), 8);
        }
    }

    #[test]
    fn what_a_tenant_may_choose_is_kept() {
        let spec = json!({
            "containers": [{"name": "main", "image": "image", "ports": [{"containerPort": 80}],
                "resources": {"limits": {"cpu": "1"}}, "readinessProbe": {"httpGet": {"port": 80}}}],
            "nodeSelector": {"disk": "ssd"},
            "tolerations": [{"operator": "Exists"}],
            "terminationGracePeriodSeconds": 3,
            "activeDeadlineSeconds": 60,
            "restartPolicy": "Never",
            "securityContext": {"runAsUser": 1000},
            "schedulingGates": [{"name": "wait"}],
            "readinessGates": [{"conditionType": "ready"}],
            "setHostnameAsFQDN": true,
            "shareProcessNamespace": true,
        });
        let mut pod = pod("web");
        pod.spec = serde_json::from_value(spec.clone()).unwrap();
        let host = serde_json::to_value(translated(&pod).spec).unwrap();
        for (key, value) in spec
            .as_object()
            .unwrap()
            .iter()
            .filter(|(key, _)| *key != "containers")
        {
            assert_eq!(&host[key], value, "{key}");
        }
        for (key, value) in spec["containers"][0].as_object().unwrap() {
            assert_eq!(&host["containers"][0][key], value, "{key}");
        }
    }

    #[test]
    fn labels_of_the_namespace_are_on_the_pod() {
        let mut cx = translation();
        cx.around.namespace_labels = [("team".to_owned(), "a".to_owned())].into();
        let host = to_host(&pod("web"), &cx).unwrap();
        assert_eq!(host.labels()[&cx.names.namespace_label_key("team")], "a");
    }

    #[test]
    fn hosts_tools_see_that_a_pod_can_be_evicted() {
        let mut pod = pod("web");
        pod.metadata.owner_references = Some(vec![OwnerReference {
            controller: Some(true),
            kind: "ReplicaSet".to_owned(),
            ..OwnerReference::default()
        }]);
        let host = translated(&pod);
        assert_eq!(
            host.annotations()["cluster-autoscaler.kubernetes.io/safe-to-evict"],
            "true"
        );
        assert_eq!(host.annotations()[labels::POD_OWNER_KIND], "ReplicaSet");
        assert_eq!(host.metadata.owner_references, None);
    }

    #[test]
    fn translation_is_deterministic() {
        assert_eq!(translated(&pod("web")), translated(&pod("web")));
    }
}
