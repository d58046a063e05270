//! Priority classes of the tenant, on the host below those of the host itself.

use k8s_openapi::api::scheduling::v1::PriorityClass;

use crate::{
    metadata,
    resource::{ResourceSyncer, TranslateError, Translation},
};

/// Above this are the classes of the host's own system.
const HIGHEST: i32 = 1_000_000_000;

/// Syncs [`PriorityClass`].
#[derive(Debug)]
pub struct PriorityClasses;

/// Is this one of the classes that every cluster has?
pub(crate) fn is_system(name: &str) -> bool {
    name.starts_with("system-")
}

impl ResourceSyncer for PriorityClasses {
    type Object = PriorityClass;

    fn selects(object: &PriorityClass, _: &Translation) -> bool {
        !metadata::is_controlled_elsewhere(object)
            && !object.metadata.name.as_deref().is_some_and(is_system)
    }

    fn to_host(object: &PriorityClass, cx: &Translation) -> Result<PriorityClass, TranslateError> {
        Ok(PriorityClass {
            metadata: metadata::owned_to_host(&object.metadata, cx)?,
            // An option or not, as the version of the API has it.
            value: object.value.min(HIGHEST.into()),
            // The host has its own default.
            global_default: Some(false),
            description: object.description.clone(),
            preemption_policy: object.preemption_policy.clone(),
        })
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

    use super::*;
    use crate::resource::tests::translation;

    fn class(name: &str, value: i32) -> PriorityClass {
        PriorityClass {
            metadata: ObjectMeta {
                name: Some(name.to_owned()),
                ..ObjectMeta::default()
            },
            value: value.into(),
            global_default: Some(true),
            ..PriorityClass::default()
        }
    }

    #[test]
    fn a_tenant_cannot_outrank_the_host() {
        let host = PriorityClasses::to_host(&class("high", i32::MAX), &translation()).unwrap();
        assert_eq!(host.value, HIGHEST.into());
        assert_eq!(host.global_default, Some(false));
        assert_eq!(
            host.metadata.name.as_deref(),
            Some("vcluster-high-x-vcluster-test-x-test")
        );
    }

    #[test]
    fn classes_that_every_cluster_has_stay() {
        assert!(!PriorityClasses::selects(
            &class("system-node-critical", 1),
            &translation()
        ));
        assert!(PriorityClasses::selects(&class("high", 1), &translation()));
    }
}
