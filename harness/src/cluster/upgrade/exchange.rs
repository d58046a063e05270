//! Puts other images into the pod of a control plane that runs. The kubelet restarts the containers
//! whose images changed and no others, and the volumes of the pod stay, the store's among them.

use std::collections::BTreeMap;

use k8s_openapi::{
    ByteString,
    api::{
        apps::v1::StatefulSet,
        core::v1::{ConfigMap, ContainerStatus, Pod, Secret},
    },
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
use crate::{
    distro::{self, Container, ControlPlane},
    wait::conditions::{self, Condition as _},
};

/// A program that is exchanged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Program {
    /// The container that it runs in.
    pub(super) container: &'static str,
    /// The image that the container is to have.
    pub(super) image: String,
    /// What the container reads of the configuration when it starts.
    pub(super) files: BTreeMap<&'static str, String>,
    /// What the container reads of the secrets when it starts.
    pub(super) secrets: BTreeMap<&'static str, distro::Secret>,
}

/// The pods of one control plane.
pub(super) struct Exchange<'a> {
    pods: Api<Pod>,
    sets: Api<StatefulSet>,
    config_maps: Api<ConfigMap>,
    secrets: Api<Secret>,
    names: &'a Names,
}

impl<'a> Exchange<'a> {
    pub(super) fn new(host: &Client, names: &'a Names) -> Self {
        Self {
            pods: Api::namespaced(host.clone(), names.namespace()),
            sets: Api::namespaced(host.clone(), names.namespace()),
            config_maps: Api::namespaced(host.clone(), names.namespace()),
            secrets: Api::namespaced(host.clone(), names.namespace()),
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

    /// Changes what the program reads when it starts. Whoever runs has read it already.
    pub(super) async fn tell(&self, program: &Program) -> Result<(), Cause> {
        let parameters = PatchParams::default();
        if !program.files.is_empty() {
            let name = self.names.config_map();
            let patch = Patch::Merge(json!({"data": program.files}));
            let patched = self.config_maps.patch(&name, &parameters, &patch).await;
            patched.map_err(request(format!("change config map {name} on host")))?;
        }
        if !program.secrets.is_empty() {
            let name = self.names.secrets();
            let bytes = |text: &distro::Secret| ByteString(text.expose().as_bytes().to_vec());
            let values = program.secrets.iter();
            let data: BTreeMap<_, _> = values.map(|(name, text)| (name, bytes(text))).collect();
            let patch = Patch::Merge(json!({"data": data}));
            let patched = self.secrets.patch(&name, &parameters, &patch).await;
            patched.map_err(request(format!("change secret {name} on host")))?;
        }
        Ok(())
    }

    /// The pods as they are.
    pub(super) async fn pods(&self) -> Result<Vec<Pod>, Cause> {
        let ours = format!("{CONTROL_PLANE}={}", self.names.cluster());
        let list = self.pods.list(&ListParams::default().labels(&ours)).await;
        let list = list.map_err(request("list the pods of the control plane on host"))?;
        Ok(list.items)
    }

    /// Returns when all these pods are ready: of several none is stopped while another one is away.
    pub(super) async fn all_ready(&self, replicas: u8, seen: &Sightings) {
        let condition = conditions::is_pod_ready();
        for name in self.names.replicas(replicas).names() {
            repeat("pod", seen, async || {
                let pod = self.pods.get_opt(&name).await;
                let pod = pod.map_err(|error| error.to_string())?;
                let is_ready = condition.matches_object(pod.as_ref());
                is_ready
                    .then_some(())
                    .ok_or_else(|| format!("{name} is not ready"))
            })
            .await;
        }
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

    /// Returns when a successor of the container that `before` had runs and, where the host asks it, is ready.
    pub(super) async fn restarted(&self, before: &Pod, name: &'static str, seen: &Sightings) {
        let old = status(before, name).and_then(|status| status.container_id.clone());
        repeat(name, seen, async || {
            let pod = self.pods.get(name_of(before)).await;
            let pod = pod.map_err(|error| error.to_string())?;
            let status = status(&pod, name).ok_or("the pod has no such container")?;
            if status.container_id == old {
                return Err("it is not restarted yet".to_owned());
            }
            let is_ready = status.ready;
            is_ready
                .then_some(())
                .ok_or_else(|| "it is not ready yet".to_owned())
        })
        .await;
    }
}

impl Program {
    /// The program of a container in the control plane that the cluster is to have.
    pub(super) fn of(container: &Container, image: String, control_plane: &ControlPlane) -> Self {
        let files = container.file_environment.values().filter_map(|name| {
            let text = control_plane.files.get(name)?;
            Some((*name, text.clone()))
        });
        let secrets = container.secret_environment.values().filter_map(|name| {
            let text = control_plane.secrets.get(name)?;
            Some((*name, text.clone()))
        });
        Self {
            container: container.name,
            image,
            files: files.collect(),
            secrets: secrets.collect(),
        }
    }

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

pub(super) fn name_of(pod: &Pod) -> &str {
    pod.metadata.name.as_deref().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::distro::{ControlPlaneContext, Distro as _, K8s, Replicas};

    #[test]
    fn a_program_is_known_by_its_container_and_its_image() {
        let pod: Pod = serde_json::from_value(json!({
            "metadata": {}, "spec": {"containers": [{"name": "kube-apiserver", "image": "new"}]},
        }))
        .unwrap();
        let program = |container, image: &str| Program {
            container,
            image: image.to_owned(),
            files: BTreeMap::new(),
            secrets: BTreeMap::new(),
        };
        assert!(program("kube-apiserver", "new").is_in(&pod));
        assert!(!program("kube-apiserver", "old").is_in(&pod));
        assert!(!program("etcd", "new").is_in(&pod));
    }

    #[test]
    fn a_program_reads_what_its_container_names() {
        let cx = ControlPlaneContext::of(Replicas {
            set: "web",
            namespace: "web",
            count: 1,
        });
        let control_plane = K8s.control_plane("1.33.4".parse().unwrap(), &cx);
        let files = |name| {
            let mut containers = control_plane.containers.iter();
            let container = containers.find(|container| container.name == name).unwrap();
            Program::of(container, "new".to_owned(), &control_plane).files
        };
        assert!(files("kube-apiserver").is_empty());
        let told = files("kube-controller-manager");
        assert!(told["controllers"].contains("-device-taint-eviction-controller"));
    }
}
