//! Conditions: kube's own and those that it lacks.

use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{Pod, ServiceAccount},
};
pub use kube::runtime::wait::{
    Condition,
    conditions::{
        is_crd_established, is_created, is_deleted, is_deployment_completed,
        is_ingress_provisioned, is_job_completed, is_pod_running,
        is_service_loadbalancer_provisioned,
    },
};

/// Every container of the pod is ready.
pub fn is_pod_ready() -> impl Condition<Pod> {
    |pod: Option<&Pod>| {
        pod.and_then(|pod| pod.status.as_ref()?.conditions.as_ref())
            .is_some_and(|conditions| {
                conditions
                    .iter()
                    .any(|condition| condition.type_ == "Ready" && condition.status == "True")
            })
    }
}

/// The pod has ended, well or badly.
pub fn is_pod_finished() -> impl Condition<Pod> {
    |pod: Option<&Pod>| {
        pod.and_then(|pod| pod.status.as_ref()?.phase.as_deref())
            .is_some_and(|phase| matches!(phase, "Succeeded" | "Failed"))
    }
}

/// The deployment's controller has seen its newest specification, and as many pods as it wants are available.
pub fn is_deployment_available() -> impl Condition<Deployment> {
    |deployment: Option<&Deployment>| {
        deployment.is_some_and(|deployment| {
            let wanted = deployment
                .spec
                .as_ref()
                .and_then(|spec| spec.replicas)
                .unwrap_or(1);
            deployment.status.as_ref().is_some_and(|status| {
                status.observed_generation >= deployment.metadata.generation
                    && status.updated_replicas.unwrap_or(0) == wanted
                    && status.available_replicas.unwrap_or(0) == wanted
            })
        })
    }
}

/// The service account exists; without it the API server refuses pods of its namespace.
pub fn is_service_account_there() -> impl Condition<ServiceAccount> {
    |account: Option<&ServiceAccount>| account.is_some()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::{Value, json};

    use super::*;

    fn deployment(value: Value) -> Deployment {
        serde_json::from_value(value).unwrap()
    }

    #[rstest]
    #[case::nothing_yet(json!({"spec": {"replicas": 1}}), false)]
    #[case::old_news(json!({"metadata": {"generation": 2}, "spec": {"replicas": 1}, "status": {"observedGeneration": 1, "updatedReplicas": 1, "availableReplicas": 1}}), false)]
    #[case::on_the_way(json!({"metadata": {"generation": 1}, "spec": {"replicas": 2}, "status": {"observedGeneration": 1, "updatedReplicas": 2, "availableReplicas": 1}}), false)]
    #[case::there(json!({"metadata": {"generation": 1}, "spec": {"replicas": 2}, "status": {"observedGeneration": 1, "updatedReplicas": 2, "availableReplicas": 2}}), true)]
    #[case::none_wanted(json!({"metadata": {"generation": 1}, "spec": {"replicas": 0}, "status": {"observedGeneration": 1}}), true)]
    fn availability_is_of_the_newest_generation(#[case] value: Value, #[case] expected: bool) {
        let mut value = value;
        value["spec"]["selector"] = json!({});
        value["spec"]["template"] = json!({});
        assert_eq!(
            is_deployment_available().matches_object(Some(&deployment(value))),
            expected
        );
    }

    #[test]
    fn a_missing_object_is_never_ready() {
        assert!(!is_pod_ready().matches_object(None));
        assert!(!is_pod_finished().matches_object(None));
        assert!(!is_deployment_available().matches_object(None));
        assert!(!is_service_account_there().matches_object(None));
    }

    #[rstest]
    #[case::ready("True", true)]
    #[case::not_ready("False", false)]
    fn readiness_is_the_ready_condition(#[case] status: &str, #[case] expected: bool) {
        let pod: Pod = serde_json::from_value(json!({
            "status": {"conditions": [{"type": "Ready", "status": status}]}
        }))
        .unwrap();
        assert_eq!(is_pod_ready().matches_object(Some(&pod)), expected);
    }
}
