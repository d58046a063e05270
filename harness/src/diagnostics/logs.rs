//! What the containers of a namespace have said.

use futures::{StreamExt as _, stream};
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use kube::{Api, Client, api::LogParams};

use super::{evidence::Log, redact};
use crate::deadline::Deadline;

/// How much of one log is fetched.
const LINES: i64 = 2000;
const BYTES: i64 = 1024 * 1024;

/// How many pods are asked at most, and how many logs are fetched at once.
const PODS: usize = 64;
const AT_ONCE: usize = 16;

/// The logs of all containers that have started, and of their previous runs.
pub(super) async fn fetch(
    client: &Client,
    namespace: &str,
    pods: &[Pod],
    deadline: Deadline,
) -> (Vec<Log>, Vec<String>) {
    let api = Api::<Pod>::namespaced(client.clone(), namespace);
    let wanted = pods.iter().take(PODS).flat_map(runs);
    let outcomes: Vec<_> = stream::iter(wanted)
        .map(async |mut log| {
            let params = LogParams {
                container: Some(log.container.clone()),
                previous: log.is_previous,
                tail_lines: Some(LINES),
                limit_bytes: Some(BYTES),
                timestamps: true,
                ..LogParams::default()
            };
            let fetched =
                tokio::time::timeout_at(deadline.instant(), api.logs(&log.pod, &params)).await;
            match fetched {
                Ok(Ok(text)) => {
                    log.text = redact::text(&text);
                    Ok(log)
                }
                Ok(Err(error)) => Err(format!("log of {}: {error}", log.name())),
                Err(_) => Err(format!("log of {}: no answer", log.name())),
            }
        })
        .buffer_unordered(AT_ONCE)
        .collect()
        .await;
    let (mut logs, mut missing) = (Vec::new(), Vec::new());
    for outcome in outcomes {
        match outcome {
            Ok(log) => logs.push(log),
            Err(error) => missing.push(error),
        }
    }
    logs.sort_by_key(Log::name);
    (logs, missing)
}

/// The logs that a pod has, still without their text.
fn runs(pod: &Pod) -> Vec<Log> {
    let Some(status) = &pod.status else {
        return Vec::new();
    };
    let name = pod.metadata.name.clone().unwrap_or_default();
    let lists = [
        &status.init_container_statuses,
        &status.container_statuses,
        &status.ephemeral_container_statuses,
    ];
    let containers = lists.into_iter().flatten().flatten();
    containers
        .flat_map(|container| {
            let log = |is_previous| Log {
                pod: name.clone(),
                container: container.name.clone(),
                is_previous,
                text: String::new(),
            };
            let current = has_started(container).then(|| log(false));
            let previous = (container.restart_count > 0).then(|| log(true));
            current.into_iter().chain(previous)
        })
        .collect()
}

fn has_started(container: &ContainerStatus) -> bool {
    let state = container.state.as_ref();
    let is_waiting = state.is_none_or(|state| state.waiting.is_some());
    !is_waiting
        || container
            .container_id
            .as_ref()
            .is_some_and(|id| !id.is_empty())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_container_that_restarts_has_two_logs_and_one_that_waits_has_none() {
        let pod: Pod = serde_json::from_value(json!({
            "metadata": {"name": "web"},
            "status": {
                "initContainerStatuses": [{"name": "init", "image": "i", "imageID": "", "ready": true, "restartCount": 0,
                    "state": {"terminated": {"exitCode": 0}}}],
                "containerStatuses": [
                    {"name": "app", "image": "i", "imageID": "", "ready": false, "restartCount": 2, "containerID": "containerd://1",
                        "state": {"waiting": {"reason": "CrashLoopBackOff"}}},
                    {"name": "side", "image": "i", "imageID": "", "ready": false, "restartCount": 0,
                        "state": {"waiting": {"reason": "ImagePullBackOff"}}}],
            },
        }))
        .unwrap();
        let names: Vec<_> = runs(&pod).iter().map(Log::name).collect();
        assert_eq!(names, ["web/init", "web/app", "web/app.previous"]);
    }
}
