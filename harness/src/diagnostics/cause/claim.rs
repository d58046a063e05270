//! Claims of volumes that stay unbound.

use k8s_openapi::api::core::v1::{Event, PersistentVolumeClaim};

use super::{About, Cause, Evidence};

pub(super) fn troubles(evidence: &Evidence) -> Vec<(About, Cause)> {
    let events = evidence.host.events();
    let claims = evidence.host.claims();
    let unbound = claims.iter().filter(|claim| {
        let phase = claim
            .status
            .as_ref()
            .and_then(|status| status.phase.as_deref());
        phase != Some("Bound")
    });
    unbound
        .filter_map(|claim| of_claim(claim, &events))
        .map(|cause| (About::Tenant, cause))
        .collect()
}

/// A claim that waits for its first pod is as it should be.
fn of_claim(claim: &PersistentVolumeClaim, events: &[Event]) -> Option<Cause> {
    let name = claim.metadata.name.as_deref()?;
    let said = events
        .iter()
        .filter(|event| event.involved_object.name.as_deref() == Some(name))
        .filter(|event| event.reason.as_deref() != Some("WaitForFirstConsumer"))
        .filter(|event| {
            event.type_.as_deref() == Some("Warning")
                || event.reason.as_deref() == Some("FailedBinding")
        })
        .find_map(|event| event.message.clone())?;
    let class = claim
        .spec
        .as_ref()
        .and_then(|spec| spec.storage_class_name.as_deref());
    let line = format!(
        "claim {name} (storage class {}) is not bound: {said}",
        class.unwrap_or("by default")
    );
    Some(
        Cause::new(line)
            .advice("name a storage class that the host has; a kind host has `standard`"),
    )
}
