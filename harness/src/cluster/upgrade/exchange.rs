//! Puts other images into the pod of a control plane that runs. The kubelet restarts the containers
//! whose images changed and no others, and the volumes of the pod stay, the store's among them.

use k8s_openapi::api::{
    apps::v1::StatefulSet,
    core::v1::{ContainerStatus, Pod},
};
use kube::{
    Api, Client,
    api::{ListParams, Patch, PatchParams},
};
use serde_json::{Value, json};

use crate::cluster::{
    control_plane::repeat,
    error::{Cause, request},
    names::{CONTROL_PLANE, Names},
    sightings::Sightings,
};

/// A program that is exchanged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Program {
    /// The container that it runs in.
    pub(super) container: &'static str,
    /// The image that the container is to have.
    pub(super) image: String,
}

/// The pods of one control plane.
pub(super) struct Exchange<'a> {
    pods: Api<Pod>,
    sets: Api<StatefulSet>,
    names: &'a Names,
}

impl<'a> Exchange<'a> {
    pub(super) fn new(host: &Client, names: &'a Names) -> Self {
        Self {
            pods: Api::namespaced(host.clone(), names.namespace()),
            sets: Api::namespaced(host.clone(), names.namespace()),
            names,
        }
    }

    /// What a pod that replaces a lost one is to run. Those that are there are left alone.
    pub(super) async fn announce(&self, programs: &[Program]) -> Result<(), Cause> {
        let name = self.names.control_plane();
        let patch = json!({"spec": {
            "updateStrategy": {"type": "OnDelete", "rollingUpdate": null},
            "template": containers(programs),
        }});
        let patched = self
            .sets
            .patch(name, &PatchParams::default(), &Patch::Strategic(patch))
            .await;
        patched
            .map(drop)
            .map_err(request(format!("change stateful set {name} on host")))
    }

    /// The pods as they are.
    pub(super) async fn pods(&self) -> Result<Vec<Pod>, Cause> {
        let ours = format!("{CONTROL_PLANE}={}", self.names.cluster());
        let list = self.pods.list(&ListParams::default().labels(&ours)).await;
        let list = list.map_err(request("list the pods of the control plane on host"))?;
        Ok(list.items)
    }

    /// Gives one container of one pod its new image.
    pub(super) async fn patch(&self, pod: &Pod, program: &Program) -> Result<(), Cause> {
        let (pod, name) = (name_of(pod), program.container);
        let patch = containers(std::slice::from_ref(program));
        let patched = self
            .pods
            .patch(pod, &PatchParams::default(), &Patch::Strategic(patch))
            .await;
        patched.map(drop).map_err(request(format!(
            "change the image of container {name} in pod {pod} on host"
        )))
    }

    /// Returns when a successor of the container that `before` had runs.
    pub(super) async fn restarted(&self, before: &Pod, name: &'static str, seen: &Sightings) {
        let old = status(before, name).and_then(|status| status.container_id.clone());
        repeat(name, seen, async || {
            let pod = self.pods.get(name_of(before)).await;
            let pod = pod.map_err(|error| error.to_string())?;
            let status = status(&pod, name).ok_or("the pod has no such container")?;
            if status.container_id == old {
                return Err("it is not restarted yet".to_owned());
            }
            let runs = status
                .state
                .as_ref()
                .is_some_and(|state| state.running.is_some());
            runs.then_some(())
                .ok_or_else(|| "it does not run yet".to_owned())
        })
        .await;
    }
}

impl Program {
    /// Is it there already? Then an upgrade before this one came as far as here.
    pub(super) fn is_in(&self, pod: &Pod) -> bool {
        let mut containers = pod.spec.iter().flat_map(|spec| &spec.containers);
        containers.any(|container| {
            container.name == self.container
                && container.image.as_deref() == Some(self.image.as_str())
        })
    }
}

fn containers(programs: &[Program]) -> Value {
    let containers: Vec<_> = programs
        .iter()
        .map(|program| json!({"name": program.container, "image": program.image}))
        .collect();
    json!({"spec": {"containers": containers}})
}

fn status<'a>(pod: &'a Pod, name: &str) -> Option<&'a ContainerStatus> {
    let statuses = pod.status.as_ref()?.container_statuses.as_ref()?;
    statuses.iter().find(|status| status.name == name)
}

fn name_of(pod: &Pod) -> &str {
    pod.metadata.name.as_deref().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_known_by_its_container_and_its_image() {
        let pod: Pod = serde_json::from_value(json!({
            "metadata": {}, "spec": {"containers": [{"name": "kube-apiserver", "image": "new"}]},
        }))
        .unwrap();
        let program = |container, image: &str| Program {
            container,
            image: image.to_owned(),
        };
        assert!(program("kube-apiserver", "new").is_in(&pod));
        assert!(!program("kube-apiserver", "old").is_in(&pod));
        assert!(!program("etcd", "new").is_in(&pod));
    }
}
