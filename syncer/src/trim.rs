//! What is left out of the caches because nobody reads it. A pod has kilobytes of it.

use k8s_openapi::{
    api::core::v1::{
        Container, Node, PersistentVolume, PersistentVolumeSpec, Pod, PodSpec, PodStatus, Secret,
    },
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};

use crate::labels;

/// Leaves an object as it is.
pub(crate) fn nothing<K>(_: &mut K) {}

/// Of a host pod, the syncer reads where it runs and what may change while it does; the rest came
/// from the virtual pod.
pub(crate) fn host_pod(pod: &mut Pod) {
    let Some(spec) = pod.spec.take() else {
        return;
    };
    pod.spec = Some(PodSpec {
        active_deadline_seconds: spec.active_deadline_seconds,
        containers: spec.containers.into_iter().map(container).collect(),
        ephemeral_containers: spec.ephemeral_containers,
        host_network: spec.host_network,
        init_containers: spec
            .init_containers
            .map(|list| list.into_iter().map(container).collect()),
        node_name: spec.node_name,
        readiness_gates: spec.readiness_gates,
        scheduling_gates: spec.scheduling_gates,
        tolerations: spec.tolerations,
        ..PodSpec::default()
    });
}

/// Of the tokens that the host keeps for pods, the syncer reads whose they are and until when they are
/// good.
pub(crate) fn host_secret(secret: &mut Secret) {
    let labels = secret.metadata.labels.as_ref();
    if labels.is_some_and(|labels| labels.contains_key(labels::TOKENS)) {
        secret.data = None;
    }
}

/// Of everybody's pods, the syncer reads how much room they take on which node, and whose they are.
pub(crate) fn room(pod: &mut Pod) {
    let spec = pod.spec.take().unwrap_or_default();
    let asking = |container: Container| Container {
        name: container.name,
        resources: container.resources,
        restart_policy: container.restart_policy,
        ..Container::default()
    };
    *pod = Pod {
        metadata: identity(&pod.metadata),
        spec: Some(PodSpec {
            containers: spec.containers.into_iter().map(asking).collect(),
            init_containers: spec
                .init_containers
                .map(|list| list.into_iter().map(asking).collect()),
            node_name: spec.node_name,
            overhead: spec.overhead,
            resources: spec.resources,
            ..PodSpec::default()
        }),
        status: pod.status.take().map(|status| PodStatus {
            phase: status.phase,
            ..PodStatus::default()
        }),
    };
}

/// Of everybody's volumes, the syncer reads from which nodes they can be reached.
pub(crate) fn reach(volume: &mut PersistentVolume) {
    let spec = volume.spec.take().unwrap_or_default();
    *volume = PersistentVolume {
        metadata: identity(&volume.metadata),
        spec: Some(PersistentVolumeSpec {
            node_affinity: spec.node_affinity,
            ..PersistentVolumeSpec::default()
        }),
        status: None,
    };
}

fn identity(meta: &ObjectMeta) -> ObjectMeta {
    let mut marks = meta.labels.clone().unwrap_or_default();
    marks.retain(|key, _| key == labels::MANAGED_BY);
    ObjectMeta {
        name: meta.name.clone(),
        namespace: meta.namespace.clone(),
        uid: meta.uid.clone(),
        resource_version: meta.resource_version.clone(),
        labels: Some(marks),
        ..ObjectMeta::default()
    }
}

fn container(container: Container) -> Container {
    Container {
        name: container.name,
        // The relay lets tunnels through to these in the host's network.
        ports: container.ports,
        image: container.image,
        resources: container.resources,
        restart_policy: container.restart_policy,
        ..Container::default()
    }
}

/// The list of images on a node is long and changes with every pull.
pub(crate) fn node(node: &mut Node) {
    if let Some(status) = &mut node.status {
        status.images = None;
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::{
        ByteString,
        api::core::v1::{EnvVar, Volume},
    };

    use super::*;

    #[test]
    fn tokens_are_not_kept_and_other_secrets_are() {
        let secret = |label: &str| Secret {
            metadata: ObjectMeta {
                labels: Some([(label.to_owned(), "true".to_owned())].into()),
                ..ObjectMeta::default()
            },
            data: Some([("key".to_owned(), ByteString(b"secret".to_vec()))].into()),
            ..Secret::default()
        };
        let (mut tokens, mut other) = (secret(labels::TOKENS), secret("app"));
        host_secret(&mut tokens);
        host_secret(&mut other);
        assert_eq!(tokens.data, None);
        assert_eq!(other, secret("app"));
    }

    #[test]
    fn of_a_host_pod_only_what_may_change_is_kept() {
        let container = Container {
            name: "main".to_owned(),
            image: Some("image".to_owned()),
            env: Some(vec![EnvVar::default()]),
            ..Container::default()
        };
        let mut pod = Pod {
            spec: Some(PodSpec {
                containers: vec![container],
                volumes: Some(vec![Volume::default()]),
                node_name: Some("node".to_owned()),
                ..PodSpec::default()
            }),
            ..Pod::default()
        };
        host_pod(&mut pod);
        let spec = pod.spec.unwrap();
        assert_eq!(spec.volumes, None);
        assert_eq!(spec.containers[0].env, None);
        assert_eq!(spec.containers[0].image.as_deref(), Some("image"));
        assert_eq!(spec.node_name.as_deref(), Some("node"));
    }
}
