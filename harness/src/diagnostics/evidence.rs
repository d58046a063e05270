//! What the search for a cause looks at. Plain data, so that each rule can be tried with a few objects.

use k8s_openapi::api::core::v1::Pod;

use super::side::Side;
use crate::owner::key;

/// Everything that was found.
#[derive(Debug, Clone, Default)]
pub struct Evidence {
    /// The host's objects in the cluster's namespace.
    pub host: Side,
    /// The virtual cluster's objects.
    pub virtual_cluster: Side,
    /// What containers said, on the host.
    pub logs: Vec<Log>,
}

/// What one container said in one run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// The host pod.
    pub pod: String,
    /// The container.
    pub container: String,
    /// The run before the present one.
    pub is_previous: bool,
    /// The end of it.
    pub text: String,
}

impl Log {
    /// `pod/container`, and which run.
    pub fn name(&self) -> String {
        let run = if self.is_previous { ".previous" } else { "" };
        format!("{}/{}{run}", self.pod, self.container)
    }

    /// The last lines that say something, without the time in front.
    pub fn last_lines(&self, count: usize) -> Vec<&str> {
        let lines = self.text.lines().filter(|line| !line.trim().is_empty());
        let mut last: Vec<_> = lines.rev().take(count).map(without_time).collect();
        last.reverse();
        last
    }
}

/// A pod on the host, by the names that a user knows.
pub(super) fn pod_name(pod: &Pod) -> String {
    let annotation = |key: &str| pod.metadata.annotations.as_ref()?.get(key).cloned();
    let virtual_name = annotation("vcluster.loft.sh/object-name");
    let virtual_namespace = annotation("vcluster.loft.sh/object-namespace");
    match (virtual_namespace, virtual_name) {
        (Some(namespace), Some(name)) => format!("pod {namespace}/{name}"),
        _ if is_control_plane(pod) => "the control plane".to_owned(),
        _ => format!("host pod {}", pod.metadata.name.as_deref().unwrap_or("?")),
    }
}

/// Is it the pod that the virtual API server runs in?
pub(super) fn is_control_plane(pod: &Pod) -> bool {
    let labels = pod.metadata.labels.as_ref();
    labels.is_some_and(|labels| labels.contains_key(key::CONTROL_PLANE))
}

/// `2026-01-02T03:04:05.123456789Z text`, as the kubelet writes it when asked for times.
fn without_time(line: &str) -> &str {
    match line.split_once(' ') {
        Some((time, text)) if time.len() >= 20 && time.contains('T') && time.ends_with('Z') => text,
        _ => line,
    }
}
