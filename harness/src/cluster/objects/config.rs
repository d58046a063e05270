//! What the control plane reads: certificates, configuration, and the kubeconfig for others.

use std::collections::BTreeMap;

use k8s_openapi::{
    ByteString,
    api::core::v1::{ConfigMap, Secret},
};
use vcluster_syncer::config::SyncConfig;

use crate::{cluster::names::Names, distro::ControlPlane, pki::Pki};

/// The syncer's configuration among the files of the distro.
pub(super) const SYNC_FILE: &str = "sync.yaml";

pub(in crate::cluster) fn pki_secret(names: &Names, pki: &Pki) -> Secret {
    let data = pki
        .files()
        .map(|(name, text)| (name.to_owned(), ByteString(text.as_bytes().to_vec())))
        .collect();
    secret(names, names.pki_secret(), data)
}

/// What nobody shall read of the distro's own; `None` when there is nothing.
pub(in crate::cluster) fn secrets(names: &Names, control_plane: &ControlPlane) -> Option<Secret> {
    let data: BTreeMap<_, _> = control_plane
        .secrets
        .iter()
        .map(|(name, text)| {
            let text = text.expose().as_bytes().to_vec();
            ((*name).to_owned(), ByteString(text))
        })
        .collect();
    (!data.is_empty()).then(|| secret(names, names.secrets(), data))
}

/// The administrator's kubeconfig, for programs on the host: it names the Service.
pub(in crate::cluster) fn kubeconfig_secret(
    names: &Names,
    pki: &Pki,
) -> Result<Secret, serde_yaml_ng::Error> {
    let server = format!(
        "https://{}.{}.svc",
        names.control_plane(),
        names.namespace()
    );
    let kubeconfig = pki.admin().kubeconfig(names.cluster(), &server);
    let mut data = pki.admin().secret_data();
    let text = serde_yaml_ng::to_string(&kubeconfig)?;
    data.insert("config".to_owned(), ByteString(text.into_bytes()));
    Ok(secret(names, names.kubeconfig_secret(), data))
}

pub(in crate::cluster) fn config_map(
    names: &Names,
    control_plane: &ControlPlane,
    sync: &SyncConfig,
) -> Result<ConfigMap, serde_yaml_ng::Error> {
    let mut data: BTreeMap<_, _> = control_plane
        .files
        .iter()
        .map(|(name, text)| ((*name).to_owned(), text.clone()))
        .collect();
    data.insert(SYNC_FILE.to_owned(), serde_yaml_ng::to_string(sync)?);
    Ok(ConfigMap {
        metadata: names.metadata(names.config_map()),
        data: Some(data),
        ..ConfigMap::default()
    })
}

fn secret(names: &Names, name: String, data: BTreeMap<String, ByteString>) -> Secret {
    Secret {
        metadata: names.metadata(name),
        type_: Some("Opaque".to_owned()),
        data: Some(data),
        ..Secret::default()
    }
}
