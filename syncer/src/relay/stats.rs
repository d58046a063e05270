//! The kubelet's summary of what pods use: only this cluster's, under the tenant's names.

use serde_json::Value;

use super::directory::Directory;

/// Leaves in `summary` what the tenant may see.
pub(super) fn keep_tenants(summary: &mut Value, directory: &Directory) {
    if let Some(Value::Array(pods)) = summary.get_mut("pods") {
        pods.retain_mut(|pod| rename(pod, directory).is_some());
    }
}

/// Gives the pod the tenant's names; none if it is not the tenant's.
fn rename(pod: &mut Value, directory: &Directory) -> Option<()> {
    let reference = pod.get("podRef")?;
    let text = |key| reference.get(key).and_then(Value::as_str);
    let known = directory.host_pod(text("namespace")?, text("name")?)?;
    pod["podRef"] = serde_json::json!({
        "name": known.key.name,
        "namespace": known.key.namespace,
        "uid": known.uid,
    });
    if let Some(Value::Array(volumes)) = pod.get_mut("volume") {
        for volume in volumes.iter_mut().filter_map(Value::as_object_mut) {
            // The relay does not know the tenant's name of a claim.
            volume.remove("pvcRef");
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::relay::tests::{directory, pod};

    #[test]
    fn only_the_tenants_pods_stay_and_have_its_names() {
        let mut directory = directory();
        directory.put_pod(&pod("web", "10.244.0.5"));
        let stats = |namespace: &str, name: &str| {
            json!({
                "podRef": { "name": name, "namespace": namespace, "uid": "host-uid" },
                "memory": { "workingSetBytes": 7 },
                "volume": [{ "name": "data", "pvcRef": { "name": "data-x", "namespace": namespace } }],
            })
        };
        let mut summary = json!({
            "node": { "nodeName": "node-1" },
            "pods": [
                stats("vc-test", "web-x-default-x-test"),
                stats("vc-test", "web-0"),
                stats("kube-system", "web-x-default-x-test"),
                { "podRef": null },
            ],
        });
        keep_tenants(&mut summary, &directory);
        let expected = json!({
            "node": { "nodeName": "node-1" },
            "pods": [{
                "podRef": { "name": "web", "namespace": "default", "uid": "uid-of-web" },
                "memory": { "workingSetBytes": 7 },
                "volume": [{ "name": "data" }],
            }],
        });
        assert_eq!(summary, expected);
    }

    #[test]
    fn a_summary_of_another_shape_is_left_alone() {
        let mut summary = json!("nonsense");
        keep_tenants(&mut summary, &directory());
        assert_eq!(summary, json!("nonsense"));
    }
}
