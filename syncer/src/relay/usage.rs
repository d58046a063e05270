//! What pods and nodes use, in the form of `metrics.k8s.io`, from the summaries that kubelets give.

use k8s_openapi::api::core::v1::{Node, Pod};
use kube::ResourceExt;
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// Over how long kubelets average.
const WINDOW: &str = "10s";
/// The version of the API.
pub(super) const VERSION: &str = "metrics.k8s.io/v1beta1";

/// One node's summary, as far as it is of use here.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub(super) struct Summary {
    #[serde(default)]
    node: Usage,
    #[serde(default)]
    pods: Vec<PodUsage>,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
struct PodUsage {
    pod_ref: PodRef,
    #[serde(default)]
    containers: Vec<ContainerUsage>,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
struct PodRef {
    name: String,
    namespace: String,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
struct ContainerUsage {
    name: String,
    #[serde(flatten)]
    usage: Usage,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
struct Usage {
    cpu: Option<Cpu>,
    memory: Option<Memory>,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Cpu {
    time: Option<String>,
    usage_nano_cores: Option<u64>,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Memory {
    working_set_bytes: Option<u64>,
}

/// What `pod` uses; none as long as its node has no figures of all its containers.
pub(super) fn of_pod(pod: &Pod, summary: &Summary) -> Option<Value> {
    let (name, namespace) = (pod.name_any(), pod.namespace().unwrap_or_default());
    let is_its =
        |usage: &&PodUsage| (&usage.pod_ref.name, &usage.pod_ref.namespace) == (&name, &namespace);
    let figures = summary.pods.iter().find(is_its)?;
    let of_container = |container: &ContainerUsage| {
        let usage = container.usage.amounts()?;
        Some(json!({"name": container.name, "usage": usage}))
    };
    let containers = figures.containers.iter().map(of_container);
    let containers: Vec<_> = containers.collect::<Option<_>>()?;
    let first = figures.containers.first()?;
    let mut metrics = first.usage.metrics("PodMetrics", pod)?;
    metrics.insert("containers".to_owned(), containers.into());
    Some(metrics.into())
}

/// What `node` uses, its host's other pods and programs included.
pub(super) fn of_node(node: &Node, summary: &Summary) -> Option<Value> {
    let mut metrics = summary.node.metrics("NodeMetrics", node)?;
    metrics.insert("usage".to_owned(), summary.node.amounts()?);
    Some(metrics.into())
}

/// A list of metrics of one kind.
pub(super) fn list(kind: &str, items: &[Value]) -> Value {
    json!({"kind": format!("{kind}List"), "apiVersion": VERSION, "metadata": {}, "items": items})
}

impl Usage {
    fn amounts(&self) -> Option<Value> {
        let cpu = self.cpu.as_ref()?.usage_nano_cores?;
        let memory = self.memory.as_ref()?.working_set_bytes? / 1024;
        Some(json!({"cpu": format!("{cpu}n"), "memory": format!("{memory}Ki")}))
    }

    /// What all kinds of metrics have.
    fn metrics<K: ResourceExt>(&self, kind: &str, object: &K) -> Option<Map<String, Value>> {
        let time = self.cpu.as_ref()?.time.clone()?;
        let mut metadata = json!({
            "name": object.name_any(),
            "labels": object.labels(),
            "creationTimestamp": time,
        });
        if let Some(namespace) = object.namespace() {
            metadata["namespace"] = namespace.into();
        }
        let metrics = json!({
            "kind": kind, "apiVersion": VERSION, "metadata": metadata,
            "timestamp": time, "window": WINDOW,
        });
        match metrics {
            Value::Object(metrics) => Some(metrics),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    const TIME: &str = "2026-01-01T00:00:00Z";

    fn usage(nano_cores: &Value) -> Value {
        json!({
            "cpu": {"time": TIME, "usageNanoCores": nano_cores},
            "memory": {"time": TIME, "workingSetBytes": 2048},
        })
    }

    fn summary(containers: &[Value]) -> Summary {
        let container = |usage: &Value| {
            let mut container = usage.clone();
            container["name"] = json!("main");
            container
        };
        let containers: Vec<_> = containers.iter().map(container).collect();
        let mut node = usage(&json!(7));
        node["nodeName"] = json!("worker");
        let summary = json!({"node": node, "pods": [
            {"podRef": {"name": "web", "namespace": "other", "uid": "x"}, "containers": []},
            {"podRef": {"name": "web", "namespace": "default", "uid": "x"}, "containers": containers},
        ]});
        serde_json::from_value(summary).unwrap()
    }

    fn named<K: serde::de::DeserializeOwned>(namespace: Option<&str>) -> K {
        let metadata = json!({"name": "web", "namespace": namespace, "labels": {"app": "web"}});
        serde_json::from_value(json!({ "metadata": metadata })).unwrap()
    }

    #[test]
    fn a_pod_uses_what_its_containers_do() {
        let found = of_pod(
            &named(Some("default")),
            &summary(&[usage(&json!(1_500_000))]),
        );
        let expected = json!({
            "kind": "PodMetrics", "apiVersion": VERSION, "timestamp": TIME, "window": "10s",
            "metadata": {
                "name": "web", "namespace": "default", "labels": {"app": "web"},
                "creationTimestamp": TIME,
            },
            "containers": [{"name": "main", "usage": {"cpu": "1500000n", "memory": "2Ki"}}],
        });
        assert_eq!(found, Some(expected));
    }

    #[rstest]
    #[case::no_container(&[])]
    #[case::a_container_that_has_just_started(&[usage(&json!(1)), usage(&Value::Null)])]
    #[case::nothing_at_all(&[json!({})])]
    fn a_pod_without_figures_is_left_out(#[case] containers: &[Value]) {
        assert_eq!(of_pod(&named(Some("default")), &summary(containers)), None);
    }

    #[test]
    fn a_pod_that_the_node_does_not_know_is_left_out() {
        let summary = summary(&[usage(&json!(1))]);
        assert_eq!(of_pod(&named(Some("elsewhere")), &summary), None);
    }

    #[test]
    fn a_node_uses_what_it_says() {
        let found = of_node(&named(None), &summary(&[])).unwrap();
        assert_eq!(found["usage"], json!({"cpu": "7n", "memory": "2Ki"}));
        assert_eq!(found["metadata"]["labels"], json!({"app": "web"}));
        assert_eq!(of_node(&named(None), &Summary::default()), None);
    }
}
