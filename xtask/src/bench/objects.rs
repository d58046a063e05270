//! What is created to be measured.

use k8s_openapi::api::core::v1::{
    ConfigMap, ConfigMapEnvSource, Container, EnvFromSource, Pod, PodSchedulingGate, PodSpec,
};
use kube::api::ObjectMeta;

/// A pod that runs until it is deleted, and ends at once then.
pub(crate) fn sleeper(name: &str, image: &str) -> Pod {
    Pod {
        metadata: named(name),
        spec: Some(PodSpec {
            containers: vec![Container {
                name: "main".to_owned(),
                image: Some(image.to_owned()),
                command: Some(["sleep", "1000000"].map(str::to_owned).to_vec()),
                ..Container::default()
            }],
            termination_grace_period_seconds: Some(0),
            ..PodSpec::default()
        }),
        status: None,
    }
}

/// A pod that no node takes: it is synced and costs nothing.
pub(crate) fn pending(name: &str, image: &str) -> Pod {
    let mut pod = sleeper(name, image);
    if let Some(spec) = &mut pod.spec {
        spec.node_selector =
            Some([("vcluster-test.dev/no-such".to_owned(), "node".to_owned())].into());
    }
    pod
}

/// A pod that waits at a gate, so that not even a scheduler looks at it.
pub(crate) fn gated(name: &str, image: &str) -> Pod {
    let mut pod = sleeper(name, image);
    if let Some(spec) = &mut pod.spec {
        spec.scheduling_gates = Some(vec![PodSchedulingGate {
            name: "vcluster-test.dev/bench".to_owned(),
        }]);
    }
    pod
}

/// A pending pod that uses these config maps, which need not exist.
pub(crate) fn reader(name: &str, image: &str, config_maps: &[String]) -> Pod {
    let mut pod = pending(name, image);
    let sources = config_maps.iter().map(|name| EnvFromSource {
        config_map_ref: Some(ConfigMapEnvSource {
            name: name.clone(),
            optional: Some(true),
        }),
        ..EnvFromSource::default()
    });
    if let Some(container) = pod
        .spec
        .as_mut()
        .and_then(|spec| spec.containers.first_mut())
    {
        container.env_from = Some(sources.collect());
    }
    pod
}

/// A small config map.
pub(crate) fn config_map(name: &str) -> ConfigMap {
    ConfigMap {
        metadata: named(name),
        data: Some([("color".to_owned(), "red".to_owned())].into()),
        ..ConfigMap::default()
    }
}

fn named(name: &str) -> ObjectMeta {
    ObjectMeta {
        name: Some(name.to_owned()),
        ..ObjectMeta::default()
    }
}
