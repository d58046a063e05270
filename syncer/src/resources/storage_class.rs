//! Storage classes of the tenant, on the host under other names. They name the host's provisioners, so
//! they go there only when asked.

use k8s_openapi::api::storage::v1::StorageClass;

use crate::{
    metadata,
    resource::{ResourceSyncer, TranslateError, Translation},
};

/// Says which class claims get that name none. Each side has its own.
const IS_DEFAULT: &[&str] = &[
    "storageclass.kubernetes.io/is-default-class",
    "storageclass.beta.kubernetes.io/is-default-class",
];

/// Syncs [`StorageClass`].
#[derive(Debug)]
pub struct StorageClasses;

impl ResourceSyncer for StorageClasses {
    type Object = StorageClass;

    fn to_host(object: &StorageClass, cx: &Translation) -> Result<StorageClass, TranslateError> {
        // Provisioners read secrets with rights of their own, wherever they are on the host.
        let parameters = object.parameters.iter().flatten();
        let names_secret = |key: &&String| key.to_lowercase().contains("secret");
        if let Some(key) = parameters.map(|(key, _)| key).find(names_secret) {
            return Err(TranslateError::Unsupported {
                field: format!("parameters.{key}"),
                problem: "names a secret, which would be the host's".to_owned(),
            });
        }
        let mut metadata = metadata::owned_to_host(&object.metadata, cx)?;
        if let Some(annotations) = &mut metadata.annotations {
            annotations.retain(|key, _| !IS_DEFAULT.contains(&key.as_str()));
        }
        Ok(StorageClass {
            metadata,
            ..object.clone()
        })
    }
}

#[cfg(test)]
mod tests {
    use kube::ResourceExt;

    use super::*;
    use crate::{metadata::tests::meta, resource::tests::translation};

    #[test]
    fn a_tenants_default_is_not_the_hosts() {
        let mut metadata = meta("", "fast");
        metadata.namespace = None;
        metadata.annotations = Some([(IS_DEFAULT[0].to_owned(), "true".to_owned())].into());
        let object = StorageClass {
            metadata,
            provisioner: "example.com/disk".to_owned(),
            ..StorageClass::default()
        };
        let host = StorageClasses::to_host(&object, &translation()).unwrap();
        assert_eq!(host.name_any(), "vcluster-fast-x-vcluster-test-x-test");
        assert!(!host.annotations().contains_key(IS_DEFAULT[0]));
        assert_eq!(host.provisioner, object.provisioner);
        assert_eq!(host.owner_references().len(), 1, "it ends with the cluster");
    }
}
