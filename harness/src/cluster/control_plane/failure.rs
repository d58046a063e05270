//! Tells a container that takes its time from one that will never run.

use std::{collections::BTreeMap, fmt};

use k8s_openapi::api::core::v1::{ContainerState, ContainerStateTerminated, ContainerStatus, Pod};

/// Reasons for waiting that do not go away by waiting.
const HOPELESS: &[&str] = &[
    "CrashLoopBackOff",
    "ErrImageNeverPull",
    "ErrImagePull",
    "ImagePullBackOff",
    "InvalidImageName",
    "ImageInspectError",
    "CreateContainerConfigError",
    "CreateContainerError",
    "RunContainerError",
    "StartError",
];
/// What a controller manager says when it found no API server for ten seconds. It is started again
/// until there is one, which on a busy host takes longer.
const FOUND_NO_API_SERVER: &str = "failed to wait for apiserver being healthy";
/// Whatever else ends once may have met a moment's trouble.
const TOLERATED_RESTARTS: i32 = 1;
const LINES_TOLD: usize = 12;

/// A container of a control plane that does not run.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ContainerFailure {
    /// The container, or `pod` when it is all of them.
    pub container: String,
    /// Its state in a few words.
    pub state: String,
    /// Its last log lines, or what the host says about it.
    pub log: String,
}

/// How often the containers of pods were restarted, by the uids of the pods and their own names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Restarts(BTreeMap<(Option<String>, String), i32>);

impl Restarts {
    /// Those of these pods so far.
    pub(super) fn of(pods: &[Pod]) -> Self {
        let restarts = pods.iter().flat_map(|pod| {
            let status = pod.status.as_ref();
            let statuses = status.and_then(|status| status.container_statuses.as_ref());
            let of_pod = |status: &ContainerStatus| (key(pod, status), status.restart_count);
            statuses.into_iter().flatten().map(of_pod)
        });
        Self(restarts.collect())
    }

    fn by(&self, pod: &Pod, status: &ContainerStatus) -> i32 {
        self.0.get(&key(pod, status)).copied().unwrap_or_default()
    }
}

fn key(pod: &Pod, status: &ContainerStatus) -> (Option<String>, String) {
    (pod.metadata.uid.clone(), status.name.clone())
}

impl ContainerFailure {
    /// What is hopeless about `pod`, if anything is, by what happened since.
    pub(super) fn since(before: &Restarts, pod: &Pod) -> Option<Self> {
        let status = pod.status.as_ref()?;
        if status.phase.as_deref() == Some("Failed") {
            return Some(Self {
                container: "pod".to_owned(),
                state: status.reason.clone().unwrap_or_else(|| "Failed".to_owned()),
                log: status.message.clone().unwrap_or_default(),
            });
        }
        let mut statuses = status.container_statuses.iter().flatten();
        statuses.find_map(|status| container(status, before.by(pod, status)))
    }

    /// The same with the end of a log, when the host told nothing itself.
    #[must_use]
    pub(super) fn with_log(self, log: &str) -> Self {
        Self {
            log: last_lines(log),
            ..self
        }
    }
}

fn container(status: &ContainerStatus, before: i32) -> Option<ContainerFailure> {
    let fail = |state: String, log: &str| {
        Some(ContainerFailure {
            container: status.name.clone(),
            state,
            log: last_lines(log),
        })
    };
    let restarts = status.restart_count - before;
    let is_news = before == 0 || restarts > 0;
    let last = terminated(status.last_state.as_ref()).filter(|_| is_news);
    let last = last.or_else(|| terminated(status.state.as_ref()));
    let words = last.and_then(|last| last.message.as_deref()).unwrap_or("");
    if let Some(last) = last {
        let was_killed = last.reason.as_deref() == Some("OOMKilled");
        if !was_killed && words.contains(FOUND_NO_API_SERVER) {
            return None;
        }
        if was_killed || restarts > TOLERATED_RESTARTS {
            return fail(ended(last, restarts), words);
        }
    }
    let waiting = status.state.as_ref()?.waiting.as_ref()?;
    let reason = waiting.reason.as_deref().unwrap_or("");
    if !HOPELESS.contains(&reason) {
        return None;
    }
    match (last, waiting.message.as_deref()) {
        (Some(last), _) => fail(format!("{reason}, {}", ended(last, restarts)), words),
        (None, message) => fail(reason.to_owned(), message.unwrap_or("")),
    }
}

fn terminated(state: Option<&ContainerState>) -> Option<&ContainerStateTerminated> {
    state?.terminated.as_ref()
}

fn ended(last: &ContainerStateTerminated, restarts: i32) -> String {
    let reason = last.reason.as_deref().unwrap_or("ended");
    let restarts = match restarts {
        0 => String::new(),
        1 => ", restarted once".to_owned(),
        count => format!(", restarted {count} times"),
    };
    format!("{reason} with exit code {}{restarts}", last.exit_code)
}

fn last_lines(text: &str) -> String {
    let lines: Vec<_> = text
        .lines()
        .filter(|line| !line.trim().is_empty())
        .collect();
    let skipped = lines.len().saturating_sub(LINES_TOLD);
    lines[skipped..].join("\n")
}

impl std::error::Error for ContainerFailure {}

impl fmt::Display for ContainerFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "container {} does not run: {}",
            self.container, self.state
        )?;
        for line in self.log.lines() {
            write!(f, "\n  {line}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::{Value, json};

    use super::*;

    fn hopeless(pod: &Pod) -> Option<ContainerFailure> {
        ContainerFailure::since(&Restarts::default(), pod)
    }

    fn pod(status: &Value) -> Pod {
        let status = json!({ "status": { "containerStatuses": [status] } });
        serde_json::from_value(status).unwrap()
    }

    fn status(restarts: i32, state: &Value, last: &Value) -> Value {
        json!({
            "name": "etcd", "image": "etcd", "imageID": "", "ready": false,
            "restartCount": restarts, "state": state, "lastState": last,
        })
    }

    fn ended(code: i32, reason: &str) -> Value {
        json!({ "terminated": { "exitCode": code, "reason": reason, "message": "first\n\nlast words\n" } })
    }

    fn waits(reason: &str) -> Value {
        json!({ "waiting": { "reason": reason, "message": "says the host" } })
    }

    #[rstest]
    #[case::being_created(0, waits("ContainerCreating"), json!({}))]
    #[case::running(0, json!({ "running": {} }), json!({}))]
    #[case::ended_once(0, ended(1, "Error"), json!({}))]
    #[case::running_again(1, json!({ "running": {} }), ended(1, "Error"))]
    fn there_is_hope(#[case] restarts: i32, #[case] state: Value, #[case] last: Value) {
        assert_eq!(hopeless(&pod(&status(restarts, &state, &last))), None);
    }

    #[test]
    fn a_controller_manager_may_wait_for_its_api_server() {
        let words = json!({ "terminated": {
            "exitCode": 1, "reason": "Error",
            "message": "Error: failed to wait for apiserver being healthy: timed out",
        }});
        let status = status(3, &waits("CrashLoopBackOff"), &words);
        assert_eq!(hopeless(&pod(&status)), None);
    }

    #[rstest]
    #[case::no_image(0, waits("ErrImagePull"), json!({}), "ErrImagePull", "says the host")]
    #[case::no_image_ever(0, waits("ErrImageNeverPull"), json!({}), "ErrImageNeverPull", "says the host")]
    #[case::crash_loop(
        1,
        waits("CrashLoopBackOff"),
        ended(2, "Error"),
        "CrashLoopBackOff, Error with exit code 2, restarted once",
        "first\nlast words"
    )]
    #[case::running_for_the_third_time(
        2, json!({ "running": {} }), ended(1, "Error"),
        "Error with exit code 1, restarted 2 times", "first\nlast words"
    )]
    #[case::out_of_memory(
        0, ended(137, "OOMKilled"), json!({}),
        "OOMKilled with exit code 137", "first\nlast words"
    )]
    fn there_is_none(
        #[case] restarts: i32,
        #[case] state: Value,
        #[case] last: Value,
        #[case] expected: &str,
        #[case] log: &str,
    ) {
        let failure = hopeless(&pod(&status(restarts, &state, &last))).unwrap();
        assert_eq!(failure.container, "etcd");
        assert_eq!(
            (failure.state.as_str(), failure.log.as_str()),
            (expected, log)
        );
    }

    #[test]
    fn what_happened_before_is_over() {
        let seen = |restarts, state: Value| {
            let killed = ended(137, "OOMKilled");
            pod(&status(restarts, &state, &killed))
        };
        let running = json!({ "running": {} });
        let before = Restarts::of(&[seen(4, running.clone())]);
        let failure = |pod: &Pod| ContainerFailure::since(&before, pod);
        assert_eq!(failure(&seen(4, running.clone())), None);
        let again = failure(&seen(5, running)).unwrap();
        assert_eq!(again.state, "OOMKilled with exit code 137, restarted once");

        // What one pod went through says nothing of another one.
        let mut other = seen(4, json!({ "running": {} }));
        other.metadata.uid = Some("other".to_owned());
        assert!(failure(&other).is_some());
    }

    #[test]
    fn an_evicted_pod_says_why() {
        let pod: Pod = serde_json::from_value(json!({ "status": {
            "phase": "Failed", "reason": "Evicted", "message": "low on memory",
        }}))
        .unwrap();
        let failure = hopeless(&pod).unwrap();
        assert_eq!(
            failure.to_string(),
            "container pod does not run: Evicted\n  low on memory"
        );
    }

    #[test]
    fn only_the_end_of_a_long_log_is_told() {
        let failure = ContainerFailure {
            container: "etcd".to_owned(),
            state: "Error".to_owned(),
            log: String::new(),
        };
        let log: Vec<_> = (0..100).map(|line| format!("line {line}")).collect();
        let told = failure.with_log(&log.join("\n")).log;
        assert_eq!(told.lines().count(), LINES_TOLD);
        assert!(told.ends_with("line 99"));
    }
}
