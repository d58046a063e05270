//! Volumes: what they refer to is translated, and tokens become entries of a host secret.

use k8s_openapi::api::core::v1::{
    DownwardAPIVolumeFile, KeyToPath, LocalObjectReference, PersistentVolumeClaimVolumeSource,
    SecretProjection, Volume, VolumeProjection,
};

use super::{downward_api, newer, tokens};
use crate::{naming::NameTranslator, resource::TranslateError};

/// Of which pod the volumes are.
pub(super) struct Owner<'a> {
    pub(super) name: &'a str,
    pub(super) namespace: &'a str,
    pub(super) uid: &'a str,
}

/// Refuses what the host would give of its own: what its signers sign for a pod would be an identity on
/// the host, and what they are trusted by is a cluster-scoped object there.
pub(super) fn check(volumes: &[Volume]) -> Result<(), TranslateError> {
    for volume in volumes {
        let projected = volume.projected.iter();
        for source in projected.flat_map(|it| it.sources.iter().flatten()) {
            let field = match &source.cluster_trust_bundle {
                _ if newer::is_certificate(source) => "podCertificate",
                Some(_) => "clusterTrustBundle",
                None => continue,
            };
            return Err(TranslateError::Unsupported {
                field: format!("spec.volumes[{}].projected.sources.{field}", volume.name),
                problem: "would be the host's, not this cluster's".to_owned(),
            });
        }
    }
    Ok(())
}

/// Translates one volume.
pub(super) fn to_host(volume: &mut Volume, owner: &Owner<'_>, names: &NameTranslator) {
    let host = |name: &str| names.host_name(name, owner.namespace);
    let volume_name = volume.name.clone();
    if let Some(source) = &mut volume.config_map {
        source.name = host(&source.name);
    }
    if let Some(name) = volume
        .secret
        .as_mut()
        .and_then(|source| source.secret_name.as_mut())
    {
        *name = host(name);
    }
    if let Some(source) = &mut volume.persistent_volume_claim {
        source.claim_name = host(&source.claim_name);
    }
    if volume.ephemeral.take().is_some() {
        // The virtual cluster makes the claim; the host must not make a second one.
        volume.persistent_volume_claim = Some(PersistentVolumeClaimVolumeSource {
            claim_name: host(&claim_of(owner.name, &volume_name)),
            read_only: None,
        });
    }
    if let Some(source) = &mut volume.downward_api {
        downward_files(source.items.as_mut(), names);
    }
    if let Some(source) = &mut volume.projected {
        for (index, projection) in source.sources.iter_mut().flatten().enumerate() {
            projection_to_host(projection, &tokens::key(&volume_name, index), owner, names);
        }
    }
    if let Some(source) = &mut volume.glusterfs {
        source.endpoints = host(&source.endpoints);
    }
    if let Some(source) = &mut volume.azure_file {
        source.secret_name = host(&source.secret_name);
    }
    if let Some(source) = &mut volume.scale_io {
        source.secret_ref.name = host(&source.secret_ref.name);
    }
    for reference in secrets_of_drivers(volume).into_iter().flatten() {
        reference.name = host(&reference.name);
    }
}

/// The claim that the virtual cluster makes for an ephemeral volume.
pub(super) fn claim_of(pod: &str, volume: &str) -> String {
    format!("{pod}-{volume}")
}

fn secrets_of_drivers(volume: &mut Volume) -> [Option<&mut LocalObjectReference>; 7] {
    [
        volume
            .iscsi
            .as_mut()
            .and_then(|source| source.secret_ref.as_mut()),
        volume
            .rbd
            .as_mut()
            .and_then(|source| source.secret_ref.as_mut()),
        volume
            .flex_volume
            .as_mut()
            .and_then(|source| source.secret_ref.as_mut()),
        volume
            .cinder
            .as_mut()
            .and_then(|source| source.secret_ref.as_mut()),
        volume
            .cephfs
            .as_mut()
            .and_then(|source| source.secret_ref.as_mut()),
        volume
            .storageos
            .as_mut()
            .and_then(|source| source.secret_ref.as_mut()),
        volume
            .csi
            .as_mut()
            .and_then(|source| source.node_publish_secret_ref.as_mut()),
    ]
}

fn projection_to_host(
    projection: &mut VolumeProjection,
    token_key: &str,
    owner: &Owner<'_>,
    names: &NameTranslator,
) {
    if let Some(map) = &mut projection.config_map {
        map.name = names.host_name(&map.name, owner.namespace);
    }
    if let Some(secret) = &mut projection.secret {
        secret.name = names.host_name(&secret.name, owner.namespace);
    }
    if let Some(source) = &mut projection.downward_api {
        downward_files(source.items.as_mut(), names);
    }
    if let Some(token) = projection.service_account_token.take() {
        projection.secret = Some(SecretProjection {
            name: tokens::secret_name(owner.uid, names),
            items: Some(vec![KeyToPath {
                key: token_key.to_owned(),
                path: token.path,
                mode: Some(0o644),
            }]),
            optional: Some(false),
        });
    }
}

fn downward_files(files: Option<&mut Vec<DownwardAPIVolumeFile>>, names: &NameTranslator) {
    for field in files
        .into_iter()
        .flatten()
        .filter_map(|file| file.field_ref.as_mut())
    {
        downward_api::to_host(field, names);
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::{Value, json};

    use super::*;
    use crate::resource::tests::names;

    const OWNER: Owner<'_> = Owner {
        name: "web",
        namespace: "default",
        uid: "1234",
    };

    #[rstest]
    #[case::config_map(json!({"configMap": {"name": "x"}}), json!({"configMap": {"name": "x-x-default-x-test"}}))]
    #[case::secret(json!({"secret": {"secretName": "x"}}), json!({"secret": {"secretName": "x-x-default-x-test"}}))]
    #[case::claim(
        json!({"persistentVolumeClaim": {"claimName": "x"}}),
        json!({"persistentVolumeClaim": {"claimName": "x-x-default-x-test"}})
    )]
    #[case::ephemeral(
        json!({"ephemeral": {}}),
        json!({"persistentVolumeClaim": {"claimName": "web-vol-x-default-x-test"}})
    )]
    #[case::downward(
        json!({"downwardAPI": {"items": [{"path": "a", "fieldRef": {"fieldPath": "metadata.name"}}]}}),
        json!({"downwardAPI": {"items": [{"path": "a", "fieldRef": {"fieldPath": "metadata.annotations['vcluster.loft.sh/name']"}}]}})
    )]
    #[case::a_driver(
        json!({"csi": {"driver": "d", "nodePublishSecretRef": {"name": "x"}}}),
        json!({"csi": {"driver": "d", "nodePublishSecretRef": {"name": "x-x-default-x-test"}}})
    )]
    #[case::empty(json!({"emptyDir": {"medium": "Memory"}}), json!({"emptyDir": {"medium": "Memory"}}))]
    #[case::host_path(json!({"hostPath": {"path": "/a"}}), json!({"hostPath": {"path": "/a"}}))]
    #[case::projected(
        json!({"projected": {"sources": [
            {"serviceAccountToken": {"path": "token", "expirationSeconds": 3607}},
            {"configMap": {"name": "kube-root-ca.crt"}},
        ]}}),
        json!({"projected": {"sources": [
            {"secret": {"name": "sa-token-1234-x-test", "optional": false,
                "items": [{"key": "vol-0", "path": "token", "mode": 0o644}]}},
            {"configMap": {"name": "kube-root-ca.crt-x-default-x-test"}},
        ]}})
    )]
    fn sources(#[case] mut source: Value, #[case] mut expected: Value) {
        source["name"] = json!("vol");
        expected["name"] = json!("vol");
        let mut volume = serde_json::from_value(source).unwrap();
        to_host(&mut volume, &OWNER, &names());
        assert_eq!(serde_json::to_value(volume).unwrap(), expected);
    }
}
