//! Resizing in place: what a tenant gives a running container, the host's kubelet gives it.

use k8s_openapi::api::core::v1::{Container, Pod, ResourceRequirements};
use kube::ResourceExt;
use serde_json::{Value, json};

use crate::{labels, plan, plan::Step};

/// Tells one set of resources from another. It stands on the host pod, since a host may have added to
/// the resources themselves.
pub(super) fn digest(pod: &Pod) -> String {
    let resources: Vec<(&String, Option<&ResourceRequirements>)> = containers(pod)
        .map(|container| (&container.name, container.resources.as_ref()))
        .collect();
    plan::digest(&resources)
}

/// What the tenant asks for, if it changed resources since the host last heard of them: the change, and
/// then a note that the host has heard of it.
pub(super) fn steps(object: &Pod, host: &Pod) -> Vec<Step<Pod>> {
    let (Some(known), Some(spec)) = (host.annotations().get(labels::RESOURCES), &object.spec)
    else {
        return Vec::new();
    };
    let wanted = digest(object);
    if *known == wanted {
        return Vec::new();
    }
    let changes = |containers: &[Container]| -> Vec<Value> {
        containers
            .iter()
            .map(|container| json!({"name": container.name, "resources": container.resources}))
            .collect()
    };
    let mut patch = json!({
        "metadata": {"uid": host.metadata.uid},
        "spec": {"containers": changes(&spec.containers)},
    });
    if let Some(init) = &spec.init_containers {
        // Of these, only those that keep running can be resized; naming others unchanged does no harm.
        patch["spec"]["initContainers"] = json!(changes(init));
    }
    let note = json!({"metadata": {
        "uid": host.metadata.uid,
        "annotations": {labels::RESOURCES: wanted},
    }});
    vec![
        Step::PatchHost {
            patch,
            subresource: Some("resize"),
        },
        Step::PatchHost {
            patch: note,
            subresource: None,
        },
    ]
}

fn containers(pod: &Pod) -> impl Iterator<Item = &Container> {
    pod.spec.iter().flat_map(|spec| {
        let init = spec.init_containers.iter().flatten();
        spec.containers.iter().chain(init)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        resource::tests::translation,
        resources::pod::translate::{self, tests::pod},
    };

    fn with_cpu(cpu: &str) -> Pod {
        let mut pod = pod("web");
        let resources = json!({"requests": {"cpu": cpu}});
        pod.spec.as_mut().unwrap().containers[0].resources =
            serde_json::from_value(resources).unwrap();
        pod
    }

    fn twin(object: &Pod) -> Pod {
        translate::to_host(object, &translation()).unwrap()
    }

    #[test]
    fn a_change_of_the_tenant_is_passed_on() {
        let steps = steps(&with_cpu("2"), &twin(&with_cpu("1")));
        let [
            Step::PatchHost {
                patch,
                subresource: Some("resize"),
            },
            Step::PatchHost { patch: note, .. },
        ] = steps.as_slice()
        else {
            panic!("{steps:?}")
        };
        let heard = &note["metadata"]["annotations"][labels::RESOURCES];
        assert_eq!(*heard, digest(&with_cpu("2")));
        let expected = json!([{"name": "main", "resources": {"requests": {"cpu": "2"}}}]);
        assert_eq!(patch["spec"]["containers"], expected);
    }

    #[test]
    fn what_the_host_adds_is_not_fought_over() {
        let mut host = twin(&with_cpu("1"));
        host.spec.as_mut().unwrap().containers[0].resources =
            serde_json::from_value(json!({"limits": {"cpu": "4"}})).unwrap();
        assert_eq!(steps(&with_cpu("1"), &host), []);
    }
}
