//! The host's status of a pod, as the virtual pod shows it.

use k8s_openapi::api::core::v1::{ContainerStatus, Pod, PodCondition, PodStatus};

/// Conditions that only the host's kubelet and scheduler set. One that they dropped is gone.
const HOSTS_CONDITIONS: &[&str] = &[
    "Initialized",
    "Ready",
    "ContainersReady",
    "PodScheduled",
    "PodReadyToStartContainers",
    "PodResizePending",
    "PodResizeInProgress",
];

/// The virtual pod with the status that its twin has.
pub(super) fn to_virtual(host: &Pod, object: &Pod) -> Option<Pod> {
    let mut status = host.status.clone()?;
    let spec = object.spec.as_ref()?;
    let own = object.status.as_ref();
    let containers: Vec<_> = spec
        .containers
        .iter()
        .map(|container| &container.name)
        .collect();
    let init: Vec<_> = spec
        .init_containers
        .iter()
        .flatten()
        .map(|container| &container.name)
        .collect();
    let ephemeral: Vec<_> = spec
        .ephemeral_containers
        .iter()
        .flatten()
        .map(|container| &container.name)
        .collect();
    // A host may add containers of its own; the tenant does not know them.
    keep_known(&mut status.container_statuses, &containers);
    keep_known(&mut status.init_container_statuses, &init);
    keep_known(&mut status.ephemeral_container_statuses, &ephemeral);
    // It never changes once it is set.
    if let Some(class) = own.and_then(|own| own.qos_class.clone()) {
        status.qos_class = Some(class);
    }
    status.conditions = merged(status.conditions.take(), own, object);
    translate_generation(&mut status, host, object);
    Some(Pod {
        status: Some(status),
        ..object.clone()
    })
}

fn keep_known(statuses: &mut Option<Vec<ContainerStatus>>, names: &[&String]) {
    if let Some(statuses) = statuses {
        statuses.retain(|status| names.contains(&&status.name));
    }
}

/// The host's conditions, and those that the virtual cluster has of its own: readiness gates, which
/// go to the host, and what its controllers say.
fn merged(
    host: Option<Vec<PodCondition>>,
    own: Option<&PodStatus>,
    object: &Pod,
) -> Option<Vec<PodCondition>> {
    let own = own
        .and_then(|own| own.conditions.as_deref())
        .unwrap_or_default();
    if host.is_none() && own.is_empty() {
        return None;
    }
    let mut merged = host.unwrap_or_default();
    for condition in own {
        match merged
            .iter_mut()
            .find(|other| other.type_ == condition.type_)
        {
            Some(other) if is_gate(object, &condition.type_) => *other = condition.clone(),
            Some(other) if waits_at_gates(other) && waits_at_gates(condition) => {
                other
                    .last_transition_time
                    .clone_from(&condition.last_transition_time);
            }
            Some(_) => {}
            None if HOSTS_CONDITIONS.contains(&condition.type_.as_str()) => {}
            None => merged.push(condition.clone()),
        }
    }
    Some(merged)
}

/// Does the condition say that no scheduler may look at the pod yet? An API server says that itself of a
/// new pod, and since when: no news, and not worth a write for each of them.
fn waits_at_gates(condition: &PodCondition) -> bool {
    condition.type_ == "PodScheduled" && condition.reason.as_deref() == Some("SchedulingGated")
}

/// Is this condition a readiness gate of the pod, which the tenant sets?
pub(super) fn is_gate(pod: &Pod, condition: &str) -> bool {
    pod.spec
        .iter()
        .flat_map(|spec| spec.readiness_gates.iter().flatten())
        .any(|gate| gate.condition_type == condition)
}

/// The two pods count their changes apart. What the host has seen of its own pod, it has seen of the
/// virtual one; a server that does not count has no use for the number.
fn translate_generation(status: &mut PodStatus, host: &Pod, object: &Pod) {
    let is_counted = object
        .metadata
        .generation
        .is_some_and(|generation| generation > 0);
    let translate = |observed: Option<i64>| {
        let observed = observed?;
        if !is_counted {
            return None;
        }
        if host
            .metadata
            .generation
            .is_some_and(|generation| observed >= generation)
        {
            object.metadata.generation
        } else {
            Some(observed.min(object.metadata.generation?))
        }
    };
    status.observed_generation = translate(status.observed_generation);
    for condition in status.conditions.iter_mut().flatten() {
        if !is_gate(object, &condition.type_) {
            condition.observed_generation = translate(condition.observed_generation);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::resources::pod::translate::tests::pod;

    fn with_status(status: Value) -> Pod {
        Pod {
            status: serde_json::from_value(status).unwrap(),
            ..pod("web")
        }
    }

    fn shown(host: Value, own: Value) -> Value {
        let news = to_virtual(&with_status(host), &with_status(own)).unwrap();
        serde_json::to_value(news.status).unwrap()
    }

    #[test]
    fn the_hosts_news_are_shown() {
        let host = json!({"phase": "Running", "podIP": "10.0.0.7", "hostIP": "172.18.0.2",
            "containerStatuses": [{"name": "main", "ready": true, "restartCount": 1, "image": "i", "imageID": "x"}]});
        assert_eq!(shown(host.clone(), json!({"phase": "Pending"})), host);
    }

    #[test]
    fn containers_of_the_host_are_not_shown() {
        let container = |name: &str| json!({"name": name, "ready": true, "restartCount": 0, "image": "i", "imageID": "x"});
        let host = json!({"containerStatuses": [container("main"), container("mesh")],
            "initContainerStatuses": [container("mesh-init")]});
        let shown = shown(host, json!({}));
        assert_eq!(shown["containerStatuses"], json!([container("main")]));
        assert_eq!(shown["initContainerStatuses"], json!([]));
    }

    #[test]
    fn the_class_of_service_never_changes() {
        let shown = shown(
            json!({"qosClass": "Burstable"}),
            json!({"qosClass": "BestEffort"}),
        );
        assert_eq!(shown["qosClass"], "BestEffort");
    }

    #[test]
    fn what_the_virtual_cluster_says_itself_is_kept() {
        let host = json!({"conditions": [{"type": "Ready", "status": "True"}]});
        let own = json!({"conditions": [
            {"type": "Ready", "status": "False"},
            {"type": "PodScheduled", "status": "False"},
            {"type": "DisruptionTarget", "status": "True"},
        ]});
        let expected = json!([
            {"type": "Ready", "status": "True"},
            {"type": "DisruptionTarget", "status": "True"},
        ]);
        assert_eq!(shown(host, own)["conditions"], expected);
    }

    #[test]
    fn since_when_a_pod_waits_at_its_gates_is_no_news() {
        let waiting = |second: u8| {
            let since = format!("2026-11-21T21:19:{second:02}Z");
            json!({"conditions": [{"type": "PodScheduled", "status": "False",
                "reason": "SchedulingGated", "lastTransitionTime": since}]})
        };
        assert_eq!(shown(waiting(29), waiting(28)), waiting(28));
        let host = json!({"conditions": [{"type": "PodScheduled", "status": "False",
            "reason": "Unschedulable", "lastTransitionTime": "2026-11-21T21:19:29Z"}]});
        assert_eq!(shown(host.clone(), waiting(28)), host);
    }

    #[test]
    fn a_readiness_gate_is_the_tenants() {
        let gated = |condition: &str| {
            let mut pod =
                with_status(json!({"conditions": [{"type": "gate", "status": condition}]}));
            let gates = json!([{"conditionType": "gate"}]);
            pod.spec.as_mut().unwrap().readiness_gates = serde_json::from_value(gates).unwrap();
            pod
        };
        let news = to_virtual(&gated("False"), &gated("True")).unwrap();
        assert_eq!(news.status.unwrap().conditions.unwrap()[0].status, "True");
    }

    #[test]
    fn generations_are_counted_apart() {
        let mut host = with_status(json!({"observedGeneration": 4,
            "conditions": [{"type": "Ready", "status": "True", "observedGeneration": 3}]}));
        host.metadata.generation = Some(4);
        let mut object = with_status(json!({}));
        object.metadata.generation = Some(2);
        let status = to_virtual(&host, &object).unwrap().status.unwrap();
        assert_eq!(status.observed_generation, Some(2));
        assert_eq!(status.conditions.unwrap()[0].observed_generation, Some(2));

        object.metadata.generation = None;
        let status = to_virtual(&host, &object).unwrap().status.unwrap();
        assert_eq!(status.observed_generation, None);
    }

    #[test]
    fn nothing_new_is_no_news() {
        let status = json!({"phase": "Running"});
        let (host, object) = (with_status(status.clone()), with_status(status));
        assert_eq!(to_virtual(&host, &object).unwrap(), object);
    }
}
