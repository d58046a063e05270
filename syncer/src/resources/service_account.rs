//! Service accounts go to the host for what clouds hang on them; they hold no rights and no tokens
//! there.

use k8s_openapi::api::core::v1::ServiceAccount;

use crate::{
    metadata,
    resource::{ResourceSyncer, TranslateError, Translation},
};

/// Syncs [`ServiceAccount`].
#[derive(Debug)]
pub struct ServiceAccounts;

impl ResourceSyncer for ServiceAccounts {
    type Object = ServiceAccount;

    fn to_host(
        object: &ServiceAccount,
        cx: &Translation,
    ) -> Result<ServiceAccount, TranslateError> {
        Ok(ServiceAccount {
            metadata: metadata::to_host(&object.metadata, cx)?,
            automount_service_account_token: Some(false),
            image_pull_secrets: None,
            secrets: None,
        })
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::{LocalObjectReference, ObjectReference};

    use super::*;
    use crate::{metadata::tests::meta, resource::tests::translation};

    #[test]
    fn an_account_holds_nothing_on_the_host() {
        let object = ServiceAccount {
            metadata: meta("default", "builder"),
            automount_service_account_token: Some(true),
            image_pull_secrets: Some(vec![LocalObjectReference::default()]),
            secrets: Some(vec![ObjectReference::default()]),
        };
        let host = ServiceAccounts::to_host(&object, &translation()).unwrap();
        assert_eq!(host.automount_service_account_token, Some(false));
        assert_eq!((host.image_pull_secrets, host.secrets), (None, None));
    }
}
