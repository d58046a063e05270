//! Config maps go to the host as they are; the host has no news for them.

use k8s_openapi::api::core::v1::ConfigMap;

use crate::{
    caches::Caches,
    labels, metadata,
    object_key::ObjectKey,
    resource::{Kind, Reference, ResourceSyncer, Surroundings, TranslateError, Translation},
};

/// Syncs [`ConfigMap`].
#[derive(Debug)]
pub struct ConfigMaps;

impl ResourceSyncer for ConfigMaps {
    type Object = ConfigMap;

    /// Those that something uses, unless all are asked for.
    fn selects(object: &ConfigMap, cx: &Translation) -> bool {
        cx.facts.sync.to_host.config_maps.all
            || cx.around.is_referenced
            || labels::is_forced(object)
    }

    fn to_host(object: &ConfigMap, cx: &Translation) -> Result<ConfigMap, TranslateError> {
        Ok(ConfigMap {
            metadata: metadata::to_host(&object.metadata, cx)?,
            data: object.data.clone(),
            binary_data: object.binary_data.clone(),
            immutable: object.immutable,
        })
    }

    fn surroundings(key: &ObjectKey, caches: &Caches) -> Surroundings {
        Surroundings {
            is_referenced: caches.references.is_referenced(&Reference {
                kind: Kind::ConfigMap,
                key: key.clone(),
            }),
            ..Surroundings::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{metadata::tests::meta, resource::tests::translation};

    #[test]
    fn content_is_unchanged() {
        let data = Some([("color".to_owned(), "red".to_owned())].into());
        let object = ConfigMap {
            metadata: meta("default", "web"),
            data,
            ..ConfigMap::default()
        };
        let host = ConfigMaps::to_host(&object, &translation()).unwrap();
        assert_eq!(host.data, object.data);
    }

    #[test]
    fn only_what_is_used_goes_unless_asked() {
        let mut object = ConfigMap {
            metadata: meta("default", "web"),
            ..ConfigMap::default()
        };
        let mut cx = translation();
        assert!(!ConfigMaps::selects(&object, &cx));
        cx.around.is_referenced = true;
        assert!(ConfigMaps::selects(&object, &cx));
        cx.around.is_referenced = false;
        object.metadata.annotations =
            Some([(labels::FORCE_SYNC.to_owned(), "true".to_owned())].into());
        assert!(ConfigMaps::selects(&object, &cx));
    }
}
