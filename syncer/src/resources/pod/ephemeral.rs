//! Ephemeral containers: added to a running pod, to debug it. They are never changed or taken away.

use k8s_openapi::api::core::v1::{EphemeralContainer, Pod};
use kube::ResourceExt;
use serde_json::json;

use super::env::Environment;
use crate::{plan::Step, resource::Translation};

/// The patch that adds those which the host pod does not have yet.
pub(super) fn step(object: &Pod, host: &Pod, cx: &Translation) -> Option<Step<Pod>> {
    // What they need may be on its way; its coming wakes us.
    if !cx.around.pending.is_empty() {
        return None;
    }
    let missing = missing(object, host);
    if missing.is_empty() {
        return None;
    }
    let namespace = object.namespace().unwrap_or_default();
    let env = Environment::of(object.spec.as_ref()?, &namespace, cx);
    let containers: Vec<_> = missing
        .into_iter()
        .map(|container| {
            let mut container = container.clone();
            env.translate(&mut container.env, &mut container.env_from);
            container
        })
        .collect();
    Some(Step::PatchHost {
        patch: json!({
            "metadata": {"uid": host.metadata.uid},
            "spec": {"ephemeralContainers": containers},
        }),
        subresource: Some("ephemeralcontainers"),
    })
}

/// Those of the virtual pod that the host pod does not have.
pub(super) fn missing<'a>(object: &'a Pod, host: &Pod) -> Vec<&'a EphemeralContainer> {
    let of_host: Vec<_> = containers(host).map(|container| &container.name).collect();
    containers(object)
        .filter(|container| !of_host.contains(&&container.name))
        .collect()
}

fn containers(pod: &Pod) -> impl Iterator<Item = &EphemeralContainer> {
    pod.spec
        .iter()
        .flat_map(|spec| spec.ephemeral_containers.iter().flatten())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        object_key::ObjectKey,
        resource::{Kind, Reference, tests::translation},
        resources::pod::translate::{self, tests::pod},
    };

    fn debugged() -> Pod {
        let mut pod = pod("web");
        let containers = json!([
            {"name": "one", "image": "shell", "targetContainerName": "main"},
            {"name": "two", "image": "shell",
                "env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "key", "key": "k"}}}]},
        ]);
        pod.spec.as_mut().unwrap().ephemeral_containers =
            serde_json::from_value(containers).unwrap();
        pod
    }

    #[test]
    fn all_that_are_missing_are_added_with_their_target() {
        let host = translate::to_host(&debugged(), &translation()).unwrap();
        let Some(Step::PatchHost { patch, subresource }) = step(&debugged(), &host, &translation())
        else {
            panic!("no patch")
        };
        assert_eq!(subresource, Some("ephemeralcontainers"));
        let added = &patch["spec"]["ephemeralContainers"];
        assert_eq!(added[0]["targetContainerName"], "main");
        assert_eq!(added[0]["env"].as_array().unwrap().len(), 8);
        let own = added[1]["env"].as_array().unwrap().last().unwrap();
        assert_eq!(
            own["valueFrom"]["secretKeyRef"]["name"],
            "key-x-default-x-test"
        );
    }

    #[test]
    fn what_is_there_is_not_added_again() {
        assert_eq!(step(&debugged(), &debugged(), &translation()), None);
        assert_eq!(step(&pod("web"), &debugged(), &translation()), None);
    }

    #[test]
    fn what_they_need_comes_first() {
        let mut cx = translation();
        cx.around.pending = vec![Reference {
            kind: Kind::Secret,
            key: ObjectKey::namespaced("default", "key"),
        }];
        assert_eq!(step(&debugged(), &pod("web"), &cx), None);
    }
}
