//! What a pod needs on the host besides itself, wherever it names it.

use k8s_openapi::api::core::v1::{EnvFromSource, EnvVar, LocalObjectReference, Pod, Volume};

use super::volumes;
use crate::{
    object_key::ObjectKey,
    resource::{Kind, Reference},
};

/// Everything that `pod` needs, each once.
pub(super) fn of(pod: &Pod) -> Vec<Reference> {
    let (Some(spec), Some(namespace)) = (&pod.spec, &pod.metadata.namespace) else {
        return Vec::new();
    };
    let mut found = Found {
        pod: pod.metadata.name.as_deref().unwrap_or_default(),
        namespace,
        references: Vec::new(),
    };
    for container in spec
        .containers
        .iter()
        .chain(spec.init_containers.iter().flatten())
    {
        found.in_env(container.env.as_deref(), container.env_from.as_deref());
    }
    for container in spec.ephemeral_containers.iter().flatten() {
        found.in_env(container.env.as_deref(), container.env_from.as_deref());
    }
    for volume in spec.volumes.iter().flatten() {
        found.in_volume(volume);
    }
    for secret in spec.image_pull_secrets.iter().flatten() {
        found.secret(Some(&secret.name));
    }
    found.add(Kind::ServiceAccount, spec.service_account_name.as_ref());
    found.class(Kind::PriorityClass, spec.priority_class_name.as_ref());
    found.references.sort();
    found.references.dedup();
    found.references
}

struct Found<'a> {
    pod: &'a str,
    namespace: &'a str,
    references: Vec<Reference>,
}

impl Found<'_> {
    fn config_map(&mut self, name: Option<&String>) {
        self.add(Kind::ConfigMap, name);
    }

    fn secret(&mut self, name: Option<&String>) {
        self.add(Kind::Secret, name);
    }

    fn secret_at(&mut self, reference: Option<&LocalObjectReference>) {
        self.secret(reference.map(|reference| &reference.name));
    }

    fn add(&mut self, kind: Kind, name: Option<&String>) {
        if let Some(name) = name.filter(|name| !name.is_empty()) {
            self.references.push(Reference {
                kind,
                key: ObjectKey::namespaced(self.namespace, name),
            });
        }
    }

    fn class(&mut self, kind: Kind, name: Option<&String>) {
        if let Some(name) = name.filter(|name| !name.is_empty()) {
            self.references.push(Reference {
                kind,
                key: ObjectKey::cluster_scoped(name),
            });
        }
    }

    fn in_env(&mut self, env: Option<&[EnvVar]>, env_from: Option<&[EnvFromSource]>) {
        for source in env
            .unwrap_or_default()
            .iter()
            .filter_map(|var| var.value_from.as_ref())
        {
            self.config_map(source.config_map_key_ref.as_ref().map(|key| &key.name));
            self.secret(source.secret_key_ref.as_ref().map(|key| &key.name));
        }
        for source in env_from.unwrap_or_default() {
            self.config_map(
                source
                    .config_map_ref
                    .as_ref()
                    .map(|reference| &reference.name),
            );
            self.secret(source.secret_ref.as_ref().map(|reference| &reference.name));
        }
    }

    fn in_volume(&mut self, volume: &Volume) {
        self.config_map(volume.config_map.as_ref().map(|source| &source.name));
        self.secret(
            volume
                .secret
                .as_ref()
                .and_then(|source| source.secret_name.as_ref()),
        );
        let claim = volume.persistent_volume_claim.as_ref();
        self.add(
            Kind::PersistentVolumeClaim,
            claim.map(|source| &source.claim_name),
        );
        if volume.ephemeral.is_some() {
            let name = volumes::claim_of(self.pod, &volume.name);
            self.add(Kind::PersistentVolumeClaim, Some(&name));
        }
        for source in volume
            .projected
            .iter()
            .flat_map(|projected| projected.sources.iter().flatten())
        {
            self.config_map(source.config_map.as_ref().map(|map| &map.name));
            self.secret(source.secret.as_ref().map(|secret| &secret.name));
        }
        // Drivers that take their credentials from a secret beside the pod.
        self.secret_at(volume.iscsi.as_ref().and_then(|v| v.secret_ref.as_ref()));
        self.secret_at(volume.rbd.as_ref().and_then(|v| v.secret_ref.as_ref()));
        self.secret_at(
            volume
                .flex_volume
                .as_ref()
                .and_then(|v| v.secret_ref.as_ref()),
        );
        self.secret_at(volume.cinder.as_ref().and_then(|v| v.secret_ref.as_ref()));
        self.secret_at(volume.cephfs.as_ref().and_then(|v| v.secret_ref.as_ref()));
        self.secret_at(volume.scale_io.as_ref().map(|v| &v.secret_ref));
        self.secret_at(
            volume
                .storageos
                .as_ref()
                .and_then(|v| v.secret_ref.as_ref()),
        );
        self.secret_at(
            volume
                .csi
                .as_ref()
                .and_then(|v| v.node_publish_secret_ref.as_ref()),
        );
        self.secret(volume.azure_file.as_ref().map(|v| &v.secret_name));
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::{Value, json};

    use super::*;
    use crate::metadata::tests::meta;

    #[rstest]
    #[case::env_config_map(json!({"containers": [{"name": "a", "env": [{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "x", "key": "k"}}}]}]}), "c:x")]
    #[case::env_secret(json!({"initContainers": [{"name": "a", "env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "x", "key": "k"}}}]}]}), "s:x")]
    #[case::env_from(json!({"ephemeralContainers": [{"name": "a", "envFrom": [{"configMapRef": {"name": "x"}}, {"secretRef": {"name": "y"}}]}]}), "c:x s:y")]
    #[case::volumes(json!({"volumes": [{"name": "a", "configMap": {"name": "x"}}, {"name": "b", "secret": {"secretName": "y"}}]}), "c:x s:y")]
    #[case::projected(json!({"volumes": [{"name": "a", "projected": {"sources": [{"configMap": {"name": "x"}}, {"secret": {"name": "y"}}]}}]}), "c:x s:y")]
    #[case::pull_secrets(json!({"imagePullSecrets": [{"name": "x"}, {"name": "x"}]}), "s:x")]
    #[case::a_driver(json!({"volumes": [{"name": "a", "csi": {"driver": "d", "nodePublishSecretRef": {"name": "x"}}}]}), "s:x")]
    #[case::a_claim(json!({"volumes": [{"name": "a", "persistentVolumeClaim": {"claimName": "x"}}]}), "v:x")]
    #[case::a_claim_of_its_own(json!({"volumes": [{"name": "a", "ephemeral": {}}]}), "v:web-a")]
    #[case::classes_and_accounts(json!({"priorityClassName": "x", "serviceAccountName": "y"}), "a:y p:x")]
    #[case::nothing(json!({"volumes": [{"name": "a", "emptyDir": {}}]}), "")]
    fn every_place_counts(#[case] mut spec: Value, #[case] expected: &str) {
        if spec.get("containers").is_none() {
            spec["containers"] = json!([]);
        }
        let pod = Pod {
            metadata: meta("default", "web"),
            spec: serde_json::from_value(spec).unwrap(),
            status: None,
        };
        let found: Vec<_> = of(&pod)
            .iter()
            .map(|reference| {
                let kind = match reference.kind {
                    Kind::ConfigMap => "c",
                    Kind::Secret => "s",
                    Kind::PersistentVolumeClaim => "v",
                    Kind::ServiceAccount => "a",
                    Kind::PriorityClass => "p",
                };
                format!("{kind}:{}", reference.key.name)
            })
            .collect();
        assert_eq!(found.join(" "), expected);
    }
}
