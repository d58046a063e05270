//! What a tenant's volume names besides its data: secrets, mostly. Drivers read them with rights of
//! their own, in whatever namespace they are said to be, so none but the tenant's may go to the host.

use k8s_openapi::api::core::v1::{PersistentVolumeSpec, SecretReference};

use crate::{naming::NameTranslator, object_key::ObjectKey, resource::TranslateError};

/// Lets all of them be the tenant's own.
pub(super) fn to_host(
    spec: &mut PersistentVolumeSpec,
    names: &NameTranslator,
) -> Result<(), TranslateError> {
    for secret in secrets(spec) {
        if let Some(name) = &mut secret.name {
            rename(name, &mut secret.namespace, names)?;
        }
    }
    if let Some(source) = &mut spec.azure_file {
        rename(&mut source.secret_name, &mut source.secret_namespace, names)?;
    }
    if let Some(source) = &mut spec.glusterfs {
        rename(
            &mut source.endpoints,
            &mut source.endpoints_namespace,
            names,
        )?;
    }
    let of_storageos = spec.storageos.as_mut();
    if let Some(secret) = of_storageos.and_then(|source| source.secret_ref.as_mut())
        && let Some(name) = &mut secret.name
    {
        rename(name, &mut secret.namespace, names)?;
    }
    Ok(())
}

fn secrets(spec: &mut PersistentVolumeSpec) -> impl Iterator<Item = &mut SecretReference> {
    let of_driver = spec.csi.as_mut().map(|source| {
        [
            &mut source.controller_expand_secret_ref,
            &mut source.controller_publish_secret_ref,
            &mut source.node_expand_secret_ref,
            &mut source.node_publish_secret_ref,
            &mut source.node_stage_secret_ref,
        ]
    });
    let others = [
        spec.cephfs.as_mut().map(|source| &mut source.secret_ref),
        spec.cinder.as_mut().map(|source| &mut source.secret_ref),
        spec.flex_volume
            .as_mut()
            .map(|source| &mut source.secret_ref),
        spec.iscsi.as_mut().map(|source| &mut source.secret_ref),
        spec.rbd.as_mut().map(|source| &mut source.secret_ref),
    ];
    let optional = of_driver
        .into_iter()
        .flatten()
        .chain(others.into_iter().flatten());
    let of_scale_io = spec.scale_io.as_mut().map(|source| &mut source.secret_ref);
    optional.flatten().chain(of_scale_io)
}

/// In the virtual cluster, no namespace means that of a claim which is not there yet.
fn rename(
    name: &mut String,
    namespace: &mut Option<String>,
    names: &NameTranslator,
) -> Result<(), TranslateError> {
    let Some(own) = namespace.as_deref().filter(|own| !own.is_empty()) else {
        return Err(TranslateError::Unsupported {
            field: "spec".to_owned(),
            problem: format!("names {name} without saying in which namespace that is"),
        });
    };
    let host = names.host_key(&ObjectKey::namespaced(own, name.as_str()));
    *name = host.name;
    *namespace = host.namespace;
    Ok(())
}
