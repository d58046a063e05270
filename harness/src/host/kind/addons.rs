//! What a node image says of itself, and what it brings as manifests: pod network and storage.

use kube::{
    Api, Client,
    api::{DynamicObject, GroupVersionKind, Patch, PatchParams},
    discovery::{Scope, pinned_kind},
};
use serde::Deserialize as _;

use super::super::{Error, files};
use crate::engine::Engine;

const MANAGER: &str = "vcluster-test";
const RELEASE: &str = "/kind/version";
const NETWORK: &str = "/kind/manifests/default-cni.yaml";
const STORAGE: &str = "/kind/manifests/default-storage.yaml";

/// What a node image says of itself.
#[derive(Debug, Clone)]
pub(super) struct ImageFacts {
    /// Its Kubernetes, such as `v1.34.2`.
    pub(super) release: String,
    /// The pod network that it installs as pods; `None` when its network is built in.
    pub(super) network: Option<String>,
    /// Its storage; none when it brings none.
    pub(super) storage: Vec<DynamicObject>,
}

impl ImageFacts {
    /// Reads them from a container of the image, which need not run.
    pub(super) async fn read(engine: &Engine, container: &str) -> Result<Self, Error> {
        let read = |path| files::read(engine, container, path);
        let (release, network, storage) =
            tokio::try_join!(read(RELEASE), read(NETWORK), read(STORAGE))?;
        Ok(Self {
            release: release.unwrap_or_default().trim().to_owned(),
            network: network.filter(|text| text.contains("DaemonSet")),
            storage: parse(STORAGE, &storage.unwrap_or_default())?,
        })
    }
}

/// Fills in what kind's template leaves open, as kind does.
pub(super) fn network_objects(
    manifest: &str,
    pod_subnet: &str,
    endpoint: &str,
) -> Result<Vec<DynamicObject>, Error> {
    let text = manifest
        .replace("{{.PodSubnet}}", pod_subnet)
        .replace("{{ .PodSubnet }}", pod_subnet);
    let mut objects = parse(NETWORK, &text)?;
    if manifest.contains("would you kindly patch this file") {
        for object in &mut objects {
            tell_endpoint(object, endpoint);
        }
    }
    Ok(objects)
}

/// So that the network need not wait for kube-proxy.
fn tell_endpoint(object: &mut DynamicObject, endpoint: &str) {
    let environment = object
        .data
        .pointer_mut("/spec/template/spec/containers/0/env")
        .and_then(serde_json::Value::as_array_mut);
    if let Some(environment) = environment {
        environment.push(serde_json::json!({"name": "CONTROL_PLANE_ENDPOINT", "value": endpoint}));
    }
}

/// The objects in a file of the image; empty documents are skipped.
fn parse(file: &str, text: &str) -> Result<Vec<DynamicObject>, Error> {
    let unreadable = |error: &dyn std::error::Error| Error::Option {
        option: "node image",
        value: file.to_owned(),
        reason: format!("it is not readable: {error}"),
    };
    let mut objects = Vec::new();
    for document in serde_yaml_ng::Deserializer::from_str(text) {
        let value = serde_json::Value::deserialize(document).map_err(|error| unreadable(&error))?;
        if !value.is_null() {
            objects.push(serde_json::from_value(value).map_err(|error| unreadable(&error))?);
        }
    }
    Ok(objects)
}

/// Creates or updates `objects` in the host, in their order.
pub(super) async fn apply(
    client: &Client,
    host: &str,
    objects: &[DynamicObject],
) -> Result<(), Error> {
    for object in objects {
        let name = object.metadata.name.clone().unwrap_or_default();
        let kind = object.types.as_ref().map(GroupVersionKind::try_from);
        let Some(Ok(kind)) = kind else {
            return Err(Error::Option {
                option: "node image",
                value: name,
                reason: "an object in its manifests has no kind".to_owned(),
            });
        };
        let step = format!("apply {} {name}", kind.kind);
        let (resource, capabilities) = pinned_kind(client, &kind)
            .await
            .map_err(Error::api(host, step.clone()))?;
        let api: Api<DynamicObject> = match (&capabilities.scope, &object.metadata.namespace) {
            (Scope::Namespaced, Some(namespace)) => {
                Api::namespaced_with(client.clone(), namespace, &resource)
            }
            (Scope::Namespaced, None) => Api::default_namespaced_with(client.clone(), &resource),
            (Scope::Cluster, _) => Api::all_with(client.clone(), &resource),
        };
        api.patch(
            &name,
            &PatchParams::apply(MANAGER).force(),
            &Patch::Apply(object),
        )
        .await
        .map_err(Error::api(host, step))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const KINDNET: &str = "
# would you kindly patch this file
# would you kindly template this file
---
kind: DaemonSet
apiVersion: apps/v1
metadata: {name: kindnet, namespace: kube-system}
spec:
  template:
    spec:
      containers:
      - name: kindnet-cni
        env:
        - name: POD_SUBNET
          value: {{ .PodSubnet }}
";

    #[test]
    fn the_network_manifest_is_filled_in() {
        let objects = network_objects(KINDNET, "10.244.0.0/16", "web:6443").unwrap();
        assert_eq!(objects.len(), 1);
        let environment = objects[0]
            .data
            .pointer("/spec/template/spec/containers/0/env")
            .unwrap();
        assert_eq!(environment[0]["value"], "10.244.0.0/16");
        assert_eq!(environment[1]["value"], "web:6443");
    }

    #[test]
    fn an_unreadable_manifest_is_named() {
        let error = network_objects("kind: {", "10.244.0.0/16", "web:6443").unwrap_err();
        assert!(error.to_string().contains(NETWORK), "{error}");
    }
}
