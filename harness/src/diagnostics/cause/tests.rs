//! Rules against objects as a real host shows them.

use k8s_openapi::serde_json::{Value, json};
use rstest::rstest;

use super::*;
use crate::{
    diagnostics::{evidence::Log, side::Side},
    owner::key,
};

fn side(kind: &str, objects: Vec<Value>) -> Side {
    Side {
        objects: [(kind.to_owned(), objects)].into(),
        missing: Vec::new(),
    }
}

/// A tenant's pod on the host, with one container `app`.
fn pod(status: impl Into<Value>) -> Value {
    json!({
        "metadata": {"name": "web-x-default-x-vc-1", "annotations": {
            "vcluster.loft.sh/object-name": "web", "vcluster.loft.sh/object-namespace": "default",
            "vcluster.loft.sh/object-uid": "u1"}},
        "spec": {"containers": [{"name": "app", "image": "example.com/web:1"}]},
        "status": status.into(),
    })
}

fn control_plane(status: impl Into<Value>) -> Value {
    let mut pod = pod(status);
    pod["metadata"] = json!({"name": "vc-1-0", "labels": {key::CONTROL_PLANE: "vc-1"}});
    pod
}

fn container(state: impl Into<Value>, last: impl Into<Value>) -> Value {
    json!({"phase": "Running", "containerStatuses": [{"name": "app", "image": "sha256:1", "imageID": "",
        "ready": false, "restartCount": 1, "state": state.into(), "lastState": last.into()}]})
}

fn of_pods(pods: Vec<Value>) -> Evidence {
    Evidence {
        host: side("pods", pods),
        ..Evidence::default()
    }
}

#[track_caller]
fn first(evidence: &Evidence) -> Cause {
    causes(evidence)
        .into_iter()
        .next()
        .expect("there is a cause")
}

#[test]
fn a_missing_image_is_named_with_how_to_get_it() {
    let waiting = json!({"waiting": {"reason": "ErrImageNeverPull",
        "message": "Container image \"example.com/web:1\" is not present with pull policy of Never"}});
    let cause = first(&of_pods(vec![pod(container(waiting, json!({})))]));
    assert_eq!(
        cause.line,
        "image example.com/web:1 of container app of pod default/web is not on the host"
    );
    let advice = cause.advice.unwrap();
    for told in [
        "docker pull example.com/web:1",
        "cluster.load_image(\"example.com/web:1\")",
    ] {
        assert!(advice.contains(told), "{advice}");
    }
}

#[rstest]
#[case::cpu("0/1 nodes are available: 1 Insufficient cpu.", "ask for less")]
#[case::taint(
    "0/1 nodes are available: 1 node(s) had untolerated taint {a: b}.",
    "tolerate"
)]
#[case::claim("persistentvolumeclaim \"data\" not found", "create the claim")]
fn a_pending_pod_says_why(#[case] message: &str, #[case] advice: &str) {
    let status = json!({"phase": "Pending", "conditions": [
        {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}]});
    let cause = first(&of_pods(vec![pod(status)]));
    assert_eq!(
        cause.line,
        format!("pod default/web is pending, because no node can take it: {message}")
    );
    assert!(cause.advice.unwrap().contains(advice));
}

#[test]
fn a_crash_has_its_code_and_last_words() {
    let waiting = json!({"waiting": {"reason": "CrashLoopBackOff", "message": "back-off"}});
    let last = json!({"terminated": {"exitCode": 3, "reason": "Error"}});
    let mut evidence = of_pods(vec![pod(container(waiting, last))]);
    let log = |is_previous, text: &str| Log {
        pod: "web-x-default-x-vc-1".to_owned(),
        container: "app".to_owned(),
        is_previous,
        text: text.to_owned(),
    };
    evidence.logs = vec![
        log(false, ""),
        log(
            true,
            "2026-01-02T03:04:05.123456789Z starting\n2026-01-02T03:04:06.1Z bind: address already in use\n\n",
        ),
    ];
    let cause = first(&evidence);
    assert_eq!(
        cause.line,
        "container app of pod default/web ended with exit code 3"
    );
    assert_eq!(cause.details, ["starting", "bind: address already in use"]);
    assert!(cause.advice.unwrap().contains("ss -ltnp"));
}

#[rstest]
#[case::memory(json!({"exitCode": 137, "reason": "OOMKilled"}), "ran out of memory (exit code 137)")]
#[case::signal(json!({"exitCode": 139, "reason": "Error"}), "was ended by signal 11 (exit code 139)")]
#[case::start(json!({"exitCode": 128, "reason": "StartError", "message": "exec: \"x\": not found"}), "ended with exit code 128 (StartError)")]
fn an_end_is_put_into_words(#[case] terminated: Value, #[case] expected: &str) {
    let state = json!({"terminated": terminated});
    let cause = first(&of_pods(vec![pod(container(state, json!({})))]));
    assert_eq!(
        cause.line,
        format!("container app of pod default/web {expected}")
    );
}

#[test]
fn a_missing_config_map_is_named() {
    let waiting = json!({"waiting": {"reason": "CreateContainerConfigError", "message": "configmap \"settings\" not found"}});
    let cause = first(&of_pods(vec![pod(container(waiting, json!({})))]));
    assert!(
        cause
            .line
            .ends_with("cannot be made: configmap \"settings\" not found")
    );
}

#[test]
fn the_control_plane_comes_before_tenants_and_the_host_before_both() {
    let crashed = container(json!({"terminated": {"exitCode": 1}}), json!({}));
    let mut evidence = of_pods(vec![pod(crashed.clone()), control_plane(crashed)]);
    let node = json!({"metadata": {"name": "n1"}, "status": {"conditions": [
        {"type": "DiskPressure", "status": "True", "message": "kubelet has disk pressure"}]}});
    evidence.host.objects.insert("nodes".to_owned(), vec![node]);
    let lines: Vec<_> = causes(&evidence)
        .into_iter()
        .map(|cause| cause.line)
        .collect();
    assert_eq!(
        lines,
        [
            "node n1 of the host is short of disk: kubelet has disk pressure",
            "container app of the control plane ended with exit code 1",
            "container app of pod default/web ended with exit code 1",
        ]
    );
}

#[test]
fn what_has_recovered_or_finished_is_no_cause() {
    let mut recovered = container(
        json!({"running": {}}),
        json!({"terminated": {"exitCode": 1}}),
    );
    recovered["containerStatuses"][0]["ready"] = true.into();
    let finished = container(json!({"terminated": {"exitCode": 0}}), json!({}));
    assert_eq!(causes(&of_pods(vec![pod(recovered), pod(finished)])), []);
}

#[test]
fn a_failing_probe_is_quoted() {
    let mut evidence = of_pods(vec![pod(container(json!({"running": {}}), json!({})))]);
    let event = json!({"metadata": {}, "type": "Warning", "reason": "Unhealthy",
        "message": "Readiness probe failed: HTTP probe failed with statuscode: 503",
        "involvedObject": {"kind": "Pod", "name": "web-x-default-x-vc-1", "fieldPath": "spec.containers{app}"}});
    evidence
        .host
        .objects
        .insert("events".to_owned(), vec![event]);
    let cause = first(&evidence);
    assert_eq!(
        cause.line,
        "container app of pod default/web runs and is not ready"
    );
    assert_eq!(
        cause.details,
        ["Readiness probe failed: HTTP probe failed with statuscode: 503"]
    );
}

#[test]
fn an_unbound_claim_says_why_unless_it_only_waits_for_its_pod() {
    let claim = |name: &str| json!({"metadata": {"name": name}, "spec": {"storageClassName": "fast"}, "status": {"phase": "Pending"}});
    let event = |name: &str, type_: &str, reason: &str, message: &str| {
        json!({"metadata": {}, "type": type_, "reason": reason, "message": message,
            "involvedObject": {"kind": "PersistentVolumeClaim", "name": name}})
    };
    let mut host = side("persistentvolumeclaims", vec![claim("a"), claim("b")]);
    host.objects.insert(
        "events".to_owned(),
        vec![
            event(
                "a",
                "Normal",
                "WaitForFirstConsumer",
                "waiting for first consumer to be created before binding",
            ),
            event(
                "b",
                "Warning",
                "ProvisioningFailed",
                "storageclass.storage.k8s.io \"fast\" not found",
            ),
        ],
    );
    let found = causes(&Evidence {
        host,
        ..Evidence::default()
    });
    assert_eq!(
        found[0].line,
        "claim b (storage class fast) is not bound: storageclass.storage.k8s.io \"fast\" not found"
    );
    assert!(!found.iter().any(|cause| cause.line.contains("claim a")));
}

#[test]
fn a_used_up_quota_and_a_refusing_webhook_are_found_in_events() {
    let event = |name: &str, message: &str| {
        json!({"metadata": {}, "type": "Warning", "reason": "FailedCreate", "message": message,
            "involvedObject": {"kind": "ReplicaSet", "name": name}})
    };
    let virtual_cluster = side(
        "events",
        vec![
            event(
                "web-1",
                "Error creating: pods \"web-1-x\" is forbidden: exceeded quota: q",
            ),
            event(
                "web-2",
                "Error creating: admission webhook \"v\" denied the request: no",
            ),
        ],
    );
    let found = causes(&Evidence {
        virtual_cluster,
        ..Evidence::default()
    });
    let advice: Vec<_> = found
        .iter()
        .map(|cause| cause.advice.as_deref().unwrap())
        .collect();
    assert_eq!(found.len(), 2);
    assert!(
        advice.iter().any(|advice| advice.contains("quota")),
        "{advice:?}"
    );
    assert!(
        advice.iter().any(|advice| advice.contains("webhook")),
        "{advice:?}"
    );
}

#[test]
fn a_pod_that_never_reached_the_host_is_the_syncers_business() {
    let mut lost = pod(json!({"phase": "Pending"}));
    lost["metadata"] = json!({"name": "lost", "namespace": "shop", "uid": "u2"});
    let mut copied = pod(json!({"phase": "Running"}));
    copied["metadata"] = json!({"name": "web", "namespace": "default", "uid": "u1"});
    let evidence = Evidence {
        host: side(
            "pods",
            vec![
                pod(json!({"phase": "Running"})),
                control_plane(json!({"phase": "Running"})),
            ],
        ),
        virtual_cluster: side("pods", vec![lost, copied]),
        logs: vec![Log {
            pod: "vc-1-0".to_owned(),
            container: "syncer".to_owned(),
            is_previous: false,
            text: "INFO ready\nWARN could not apply pod shop/lost on host\n".to_owned(),
        }],
    };
    let cause = first(&evidence);
    assert_eq!(
        cause.line,
        "pod shop/lost exists in the virtual cluster and not on the host"
    );
    assert_eq!(
        cause.details,
        ["WARN could not apply pod shop/lost on host"]
    );
}

#[test]
fn nothing_odd_gives_no_cause() {
    assert_eq!(causes(&Evidence::default()), []);
}
