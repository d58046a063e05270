//! Warnings that explain what no object's status does.

use k8s_openapi::api::core::v1::Event;

use super::{super::events, About, Cause, Evidence, text};

/// Reasons of warnings that are causes by themselves, and what each means.
const REASONS: [(&str, &str); 8] = [
    ("FailedMount", "a volume cannot be mounted"),
    ("FailedAttachVolume", "a volume cannot be attached"),
    (
        "FailedCreatePodSandBox",
        "the host cannot make a pod's sandbox",
    ),
    ("FailedCreate", "a controller cannot create what it should"),
    ("FailedScheduling", "a pod cannot be scheduled"),
    ("ProvisioningFailed", "a volume cannot be provisioned"),
    ("FailedToCreateEndpoint", "endpoints cannot be written"),
    (
        "SyncError",
        "an object cannot be copied between the virtual cluster and the host",
    ),
];

pub(super) fn troubles(evidence: &Evidence) -> Vec<(About, Cause)> {
    let host = events::sorted(evidence.host.events());
    let tenant = events::sorted(evidence.virtual_cluster.events());
    let is_latest = |event: &&Event, all: &[Event]| {
        let same = |other: &&Event| {
            other.reason == event.reason && other.involved_object.name == event.involved_object.name
        };
        all.iter().rev().find(same) == Some(*event)
    };
    let latest = |all: &[Event]| {
        let wanted = all.iter().rev().filter(|event| is_latest(event, all));
        wanted.filter_map(of_event).collect::<Vec<_>>()
    };
    let all = latest(&host).into_iter().chain(latest(&tenant));
    all.map(|cause| (About::Tenant, cause)).collect()
}

fn of_event(event: &Event) -> Option<Cause> {
    let reason = event.reason.as_deref()?;
    if event.type_.as_deref() != Some("Warning") {
        return None;
    }
    let (_, meaning) = REASONS.iter().find(|(name, _)| *name == reason)?;
    let object = &event.involved_object;
    let line = format!(
        "{meaning}: {} {}: {}",
        object.kind.as_deref().unwrap_or("object").to_lowercase(),
        object.name.as_deref().unwrap_or("?"),
        event.message.as_deref().unwrap_or("no message").trim(),
    );
    let advice = text::advice(&line);
    let cause = Cause::new(line);
    Some(match advice {
        Some(advice) => cause.advice(advice),
        None => cause,
    })
}
