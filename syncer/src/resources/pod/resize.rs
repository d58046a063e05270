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

/// The patch that the tenant asks for, if it changed resources since the host last heard of them.
pub(super) fn step(object: &Pod, host: &Pod) -> Option<Step<Pod>> {
    let known = host.annotations().get(labels::RESOURCES)?;
    if *known == digest(object) {
        return None;
    }
    let spec = object.spec.as_ref()?;
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
    Some(Step::PatchHost {
        patch,
        subresource: Some("resize"),
    })
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
        let Some(Step::PatchHost { patch, subresource }) =
            step(&with_cpu("2"), &twin(&with_cpu("1")))
        else {
            panic!("no patch")
        };
        assert_eq!(subresource, Some("resize"));
        let expected = json!([{"name": "main", "resources": {"requests": {"cpu": "2"}}}]);
        assert_eq!(patch["spec"]["containers"], expected);
    }

    #[test]
    fn what_the_host_adds_is_not_fought_over() {
        let mut host = twin(&with_cpu("1"));
        host.spec.as_mut().unwrap().containers[0].resources =
            serde_json::from_value(json!({"limits": {"cpu": "4"}})).unwrap();
        assert_eq!(step(&with_cpu("1"), &host), None);
    }
}
