//! Waits for a kind cluster by watching it, never by asking again and again.

use std::{collections::BTreeMap, time::Duration};

use bollard::query_parameters::LogsOptionsBuilder;
use futures::{StreamExt as _, TryStreamExt as _};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node as KubernetesNode, ServiceAccount};
use kube::{
    Api, Client,
    runtime::{WatchStreamExt as _, watcher},
};

use super::super::{
    Error,
    node::{Command, Node},
};
use crate::{deadline::Deadline, wait};

/// How long containerd may take after init.
const CONTAINERD: Duration = Duration::from_secs(30);

/// Waits until init in the node, which was started at `since`, has sorted its cgroups, and then until
/// containerd answers. Before the former nothing may be run in the node.
pub(super) async fn booted(
    node: &Node,
    cluster: &str,
    since: Option<Timestamp>,
    deadline: Deadline,
) -> Result<(), Error> {
    sorted(node, cluster, since, deadline).await?;
    let script = "until ctr version >/dev/null 2>&1; do sleep 0.05; done";
    let command =
        Command::new(["sh", "-c", script]).deadline(deadline.step("containerd", CONTAINERD));
    node.run(command).await.map(drop)
}

async fn sorted(
    node: &Node,
    cluster: &str,
    since: Option<Timestamp>,
    deadline: Deadline,
) -> Result<(), Error> {
    // The log also has the lines of earlier starts. Seconds are all that the engine takes.
    let since = since.map_or(0, |since| i32::try_from(since.as_second()).unwrap_or(0));
    let options = LogsOptionsBuilder::default()
        .follow(true)
        .since(since)
        .stdout(true)
        .stderr(true)
        .build();
    let mut logs = node.engine.docker().logs(&node.name, Some(options));
    let mut seen = String::new();
    let read = async {
        while let Some(part) = logs.next().await {
            let part = part.map_err(Error::engine("read the log of", node.name.clone()))?;
            seen.push_str(&String::from_utf8_lossy(part.as_ref()));
            if says_booted(&seen) {
                return Ok(true);
            }
        }
        Ok(false)
    };
    let last_line = |seen: &str| seen.lines().last().unwrap_or("nothing").trim().to_owned();
    match tokio::time::timeout_at(deadline.instant(), read).await {
        Ok(Ok(true)) => Ok(()),
        Ok(Ok(false)) => {
            node.check().await?;
            Err(not_ready(
                cluster,
                format!("the system of node {}", node.name),
                deadline,
                last_line(&seen),
            ))
        }
        Ok(Err(error)) => Err(error),
        Err(_) => Err(not_ready(
            cluster,
            format!("the system of node {}", node.name),
            deadline,
            last_line(&seen),
        )),
    }
}

/// The lines that kind waits for; on cgroup v1 there is nothing to sort.
fn says_booted(log: &str) -> bool {
    log.lines().any(|line| {
        line.contains("detected cgroup v1")
            || line.split_once("Reached target").is_some_and(|(_, rest)| {
                rest.contains("Multi-User System") || rest.contains("multi-user.target")
            })
    })
}

/// Waits until the API server answers; there is nothing to watch before it does.
pub(super) async fn api(client: &Client, cluster: &str, deadline: Deadline) -> Result<(), Error> {
    const AGAIN: Duration = Duration::from_millis(50);
    let mut seen = String::new();
    while !deadline.is_over() {
        match client.apiserver_version().await {
            Ok(_) => return Ok(()),
            Err(error) => seen = error.to_string(),
        }
        tokio::time::sleep(AGAIN).await;
    }
    Err(not_ready(cluster, "API server".to_owned(), deadline, seen))
}

/// Waits until `count` nodes are ready, as reported after `since`, and pods can be created.
pub(super) async fn ready(
    client: &Client,
    cluster: &str,
    count: usize,
    since: Option<Timestamp>,
    deadline: Deadline,
) -> Result<(), Error> {
    api(client, cluster, deadline).await?;
    nodes(client, cluster, count, since, deadline).await?;
    service_account(client, cluster, deadline).await
}

async fn nodes(
    client: &Client,
    cluster: &str,
    count: usize,
    since: Option<Timestamp>,
    deadline: Deadline,
) -> Result<(), Error> {
    let api: Api<KubernetesNode> = Api::all(client.clone());
    let mut states = BTreeMap::new();
    let mut trouble = None;
    let watch = async {
        let mut events = watcher(api, watcher::Config::default())
            .default_backoff()
            .touched_objects()
            .boxed();
        loop {
            match events.try_next().await {
                Ok(Some(node)) => {
                    let name = node.metadata.name.clone().unwrap_or_default();
                    states.insert(name, NodeState::of(&node, since));
                    let ready = states.values().filter(|state| state.is_ready).count();
                    if ready >= count {
                        return;
                    }
                }
                Ok(None) => return,
                // The watcher tries again; the last refusal is worth telling.
                Err(error) => trouble = Some(error.to_string()),
            }
        }
    };
    if tokio::time::timeout_at(deadline.instant(), watch)
        .await
        .is_ok()
    {
        return Ok(());
    }
    let mut seen: Vec<String> = states
        .iter()
        .map(|(name, state)| format!("{name}: {}", state.text))
        .collect();
    if seen.is_empty() {
        seen.push("no node".to_owned());
    }
    seen.extend(trouble);
    let awaited = format!("{count} node(s)");
    Err(not_ready(cluster, awaited, deadline, seen.join("; ")))
}

/// Without the account `default` no pod can be created.
async fn service_account(client: &Client, cluster: &str, deadline: Deadline) -> Result<(), Error> {
    let api: Api<ServiceAccount> = Api::namespaced(client.clone(), "default");
    let is_there = |account: Option<&ServiceAccount>| account.is_some();
    match wait::until(&api, "default", is_there, deadline).await {
        Ok(_) => Ok(()),
        Err(error) => Err(not_ready(
            cluster,
            "service account default/default".to_owned(),
            deadline,
            error.to_string(),
        )),
    }
}

struct NodeState {
    is_ready: bool,
    text: String,
}

impl NodeState {
    fn of(node: &KubernetesNode, since: Option<Timestamp>) -> Self {
        let ready = node
            .status
            .iter()
            .flat_map(|status| status.conditions.iter().flatten())
            .find(|condition| condition.type_ == "Ready");
        let Some(ready) = ready else {
            return Self {
                is_ready: false,
                text: "no Ready condition yet".to_owned(),
            };
        };
        let heartbeat = ready.last_heartbeat_time.as_ref().map(|time| time.0);
        if since.is_some_and(|since| heartbeat.is_none_or(|heartbeat| heartbeat < since)) {
            return Self {
                is_ready: false,
                text: "no sign of life since the restart".to_owned(),
            };
        }
        Self {
            is_ready: ready.status == "True",
            text: ready
                .message
                .clone()
                .unwrap_or_else(|| format!("Ready is {}", ready.status)),
        }
    }
}

fn not_ready(cluster: &str, awaited: String, deadline: Deadline, last_seen: String) -> Error {
    Error::NotReady {
        host: cluster.to_owned(),
        awaited,
        waited: deadline.elapsed(),
        last_seen,
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    #[rstest]
    #[case::v2("[  OK  ] Reached target Multi-User System.\r\n", true)]
    #[case::unit_name(
        "Reached target \u{1b}[0;1;39mmulti-user.target\u{1b}[0m - Multi-User System.",
        true
    )]
    #[case::v1("INFO: detected cgroup v1", true)]
    #[case::not_yet("[  OK  ] Reached target Basic System.", false)]
    fn the_end_of_the_boot_is_seen(#[case] log: &str, #[case] expected: bool) {
        assert_eq!(says_booted(log), expected);
    }

    fn node(status: &str) -> KubernetesNode {
        serde_json::from_value(
            json!({"metadata": {"name": "a"}, "status": {"conditions": [{
                "type": "Ready",
                "status": status,
                "lastHeartbeatTime": "2026-01-01T00:00:00Z",
                "message": "container runtime network not ready",
            }]}}),
        )
        .unwrap()
    }

    #[test]
    fn a_node_says_why_it_is_not_ready() {
        let state = NodeState::of(&node("False"), None);
        assert!(!state.is_ready);
        assert_eq!(state.text, "container runtime network not ready");
    }

    #[rstest]
    #[case::old("2026-01-01T00:00:01Z", false)]
    #[case::new("2025-12-31T23:59:59Z", true)]
    fn a_report_from_before_the_restart_does_not_count(#[case] since: &str, #[case] ready: bool) {
        let state = NodeState::of(&node("True"), Some(since.parse().unwrap()));
        assert_eq!(state.is_ready, ready);
    }
}
