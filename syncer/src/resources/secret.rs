//! Secrets go to the host like config maps, when they are used.

use k8s_openapi::api::core::v1::Secret;

use crate::{
    caches::Caches,
    labels, metadata,
    object_key::ObjectKey,
    plan::{self, Step, Twins},
    resource::{Kind, Reference, ResourceSyncer, Surroundings, TranslateError, Translation},
};

/// The host's controllers would delete a token whose account they do not know.
const TOKEN_TYPE: &str = "kubernetes.io/service-account-token";

/// Syncs [`Secret`].
#[derive(Debug)]
pub struct Secrets;

impl ResourceSyncer for Secrets {
    type Object = Secret;

    /// Those that something uses, unless all are asked for.
    fn selects(object: &Secret, cx: &Translation) -> bool {
        cx.facts.sync.to_host.secrets.all || cx.around.is_referenced || labels::is_forced(object)
    }

    fn to_host(object: &Secret, cx: &Translation) -> Result<Secret, TranslateError> {
        // Both annotations mean something to the host's token controller.
        let metadata = metadata::to_host_without(
            &object.metadata,
            cx,
            &[
                "kubernetes.io/service-account.name",
                "kubernetes.io/service-account.uid",
            ],
        )?;
        let type_ = match object.type_.as_deref() {
            Some(TOKEN_TYPE) => Some("Opaque".to_owned()),
            _ => object.type_.clone(),
        };
        Ok(Secret {
            metadata,
            type_,
            data: object.data.clone(),
            immutable: object.immutable,
            string_data: None,
        })
    }

    fn surroundings(key: &ObjectKey, caches: &Caches) -> Surroundings {
        Surroundings {
            is_referenced: caches.references.is_referenced(&Reference {
                kind: Kind::Secret,
                key: key.clone(),
            }),
            ..Surroundings::default()
        }
    }

    /// The usual rules, but a type never changes, so another type needs another twin.
    fn plan(twins: &Twins<Secret>, cx: &Translation) -> Result<Vec<Step<Secret>>, TranslateError> {
        if let (Some(object), Some(host)) = (&twins.virtual_object, &twins.host_object)
            && Self::to_host(object, cx)?
                .type_
                .is_some_and(|type_| host.type_.as_ref() != Some(&type_))
        {
            return Ok(plan::prune(host.as_ref()));
        }
        plan::plan::<Self>(twins, cx)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{metadata::tests::meta, resource::tests::translation};

    fn secret(type_: &str) -> Secret {
        Secret {
            metadata: meta("default", "key"),
            type_: Some(type_.to_owned()),
            ..Secret::default()
        }
    }

    #[test]
    fn the_host_must_not_take_a_token_for_its_own() {
        let host = Secrets::to_host(&secret(TOKEN_TYPE), &translation()).unwrap();
        assert_eq!(host.type_.as_deref(), Some("Opaque"));
    }

    #[test]
    fn another_type_needs_another_twin() {
        let mut cx = translation();
        cx.around.is_referenced = true;
        let decide = |object: Secret, host: Secret| {
            let twins = Twins {
                key: ObjectKey::namespaced("default", "key"),
                virtual_object: Some(Arc::new(object)),
                host_object: Some(Arc::new(host)),
            };
            Secrets::plan(&twins, &cx).unwrap()
        };
        let host = plan::stamped(Secrets::to_host(&secret("Opaque"), &cx).unwrap());
        assert_eq!(decide(secret("Opaque"), host.clone()), []);
        let steps = decide(secret("kubernetes.io/tls"), host);
        assert!(matches!(steps.as_slice(), [Step::DeleteHost { .. }]));
    }
}
