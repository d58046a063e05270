//! Disruption budgets go to the host, where evictions happen; what they allow is computed on each
//! side.

use k8s_openapi::api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetSpec};
use kube::ResourceExt;

use crate::{
    metadata,
    resource::{ResourceSyncer, TranslateError, Translation},
    selector,
};

/// Syncs [`PodDisruptionBudget`].
#[derive(Debug)]
pub struct PodDisruptionBudgets;

impl ResourceSyncer for PodDisruptionBudgets {
    type Object = PodDisruptionBudget;

    fn to_host(
        object: &PodDisruptionBudget,
        cx: &Translation,
    ) -> Result<PodDisruptionBudget, TranslateError> {
        let namespace = object.namespace().unwrap_or_default();
        let spec = object.spec.as_ref().map(|spec| PodDisruptionBudgetSpec {
            // No selector matches nothing, and an empty one the whole namespace.
            selector: spec
                .selector
                .as_ref()
                .map(|selector| selector::to_host(selector, &cx.names, &namespace)),
            ..spec.clone()
        });
        Ok(PodDisruptionBudget {
            metadata: metadata::to_host(&object.metadata, cx)?,
            spec,
            status: None,
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{labels, metadata::tests::meta, resource::tests::translation};

    #[test]
    fn a_budget_counts_the_pods_of_its_namespace_only() {
        let object = PodDisruptionBudget {
            metadata: meta("default", "web"),
            spec: serde_json::from_value(
                json!({"minAvailable": 1, "selector": {"matchLabels": {"app": "web"}}}),
            )
            .unwrap(),
            status: None,
        };
        let host = PodDisruptionBudgets::to_host(&object, &translation()).unwrap();
        let labels = host.spec.unwrap().selector.unwrap().match_labels.unwrap();
        assert_eq!(labels[labels::NAMESPACE], "default");
        assert_eq!(labels[labels::MANAGED_BY], "test");
        assert_eq!(labels["app"], "web");
    }
}
