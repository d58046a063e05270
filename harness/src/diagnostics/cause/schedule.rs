//! Pods for which there is no node.

use k8s_openapi::api::core::v1::Pod;

use super::{About, Cause, Evidence, about, pod_name};

pub(super) fn troubles(evidence: &Evidence) -> Vec<(About, Cause)> {
    let pods = evidence.host.pods();
    let each = pods
        .iter()
        .filter_map(|pod| of_pod(pod).map(|cause| (about(pod), cause)));
    each.collect()
}

fn of_pod(pod: &Pod) -> Option<Cause> {
    let conditions = pod.status.as_ref()?.conditions.as_ref()?;
    let condition = conditions
        .iter()
        .find(|condition| condition.type_ == "PodScheduled" && condition.status == "False")?;
    let message = condition.message.as_deref().unwrap_or("no message");
    let line = format!(
        "{} is pending, because no node can take it: {message}",
        pod_name(pod)
    );
    let cause = Cause::new(line);
    Some(match advice(message) {
        Some(advice) => cause.advice(advice),
        None => cause,
    })
}

/// The scheduler's own words, from `k8s.io/kubernetes/pkg/scheduler`.
fn advice(message: &str) -> Option<&'static str> {
    const ADVICE: [(&str, &str); 6] = [
        (
            "Insufficient",
            "ask for less in the pod's requests, or run fewer tests at once",
        ),
        (
            "Too many pods",
            "run fewer tests at once, or give the host more nodes",
        ),
        (
            "untolerated taint",
            "tolerate the taint, or add a node without it to the host",
        ),
        (
            "persistentvolumeclaim",
            "create the claim in the pod's namespace",
        ),
        (
            "unbound immediate PersistentVolumeClaims",
            "see the claim; the host has the storage class `standard`",
        ),
        (
            "node affinity/selector",
            "the pod's node selector names a label that no node of the host has",
        ),
    ];
    ADVICE
        .iter()
        .find(|(words, _)| message.contains(words))
        .map(|(_, advice)| *advice)
}
