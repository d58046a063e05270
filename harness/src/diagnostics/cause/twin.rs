//! Virtual pods of which the host knows nothing: the syncer's business.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::Pod;

use super::{About, Cause, Evidence, is_control_plane};

/// How many complaints of the syncer are quoted.
const QUOTED: usize = 5;

pub(super) fn troubles(evidence: &Evidence) -> Vec<(About, Cause)> {
    let host = evidence.host.pods();
    let copied: BTreeSet<_> = host.iter().filter_map(virtual_uid).collect();
    let tenant = evidence.virtual_cluster.pods();
    let missing: Vec<_> = tenant
        .iter()
        .filter(|pod| is_missing(pod, &copied))
        .collect();
    let Some(first) = missing.first() else {
        return Vec::new();
    };
    let name = |pod: &Pod| {
        let metadata = &pod.metadata;
        format!(
            "{}/{}",
            metadata.namespace.as_deref().unwrap_or("default"),
            metadata.name.as_deref().unwrap_or("?")
        )
    };
    let more = match missing.len() - 1 {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let line = format!(
        "pod {}{more} exists in the virtual cluster and not on the host",
        name(first)
    );
    vec![(
        About::Tenant,
        Cause::new(line).details(complaints(evidence)),
    )]
}

fn is_missing(pod: &Pod, copied: &BTreeSet<String>) -> bool {
    let is_going = pod.metadata.deletion_timestamp.is_some();
    let uid = pod.metadata.uid.as_ref();
    !is_going && uid.is_some_and(|uid| !copied.contains(uid))
}

fn virtual_uid(pod: &Pod) -> Option<String> {
    let annotations = pod.metadata.annotations.as_ref()?;
    annotations.get("vcluster.loft.sh/object-uid").cloned()
}

/// The last warnings and errors of the syncer.
fn complaints(evidence: &Evidence) -> Vec<String> {
    let pods = evidence.host.pods();
    let control_plane: BTreeSet<_> = pods
        .iter()
        .filter(|pod| is_control_plane(pod))
        .filter_map(|pod| pod.metadata.name.clone())
        .collect();
    let logs = evidence
        .logs
        .iter()
        .filter(|log| log.container == "syncer" && control_plane.contains(&log.pod));
    let lines = logs.flat_map(|log| log.text.lines());
    let complaints = lines.filter(|line| line.contains("WARN") || line.contains("ERROR"));
    let mut last: Vec<_> = complaints.map(str::to_owned).collect();
    last.drain(..last.len().saturating_sub(QUOTED));
    last
}
