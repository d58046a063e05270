//! Containers that do not start, crash, or do not become ready.

use k8s_openapi::api::core::v1::{ContainerStateTerminated, ContainerStatus, Pod};

use super::{About, Cause, Evidence, about, pod_name, text};

/// How many lines of a crashed container's log are quoted.
const QUOTED: usize = 5;

pub(super) fn troubles(evidence: &Evidence) -> Vec<(About, Cause)> {
    let pods = evidence.host.pods();
    let each = pods.iter().flat_map(|pod| {
        let evicted = evicted(pod).into_iter();
        let containers = statuses(pod).filter_map(|status| of_container(evidence, pod, status));
        evicted.chain(containers).map(|cause| (about(pod), cause))
    });
    each.collect()
}

/// Weaker: what runs and is not ready.
pub(super) fn unready(evidence: &Evidence) -> Vec<(About, Cause)> {
    let pods = evidence.host.pods();
    let events = super::super::events::sorted(evidence.host.events());
    let each = pods.iter().flat_map(|pod| {
        let running = statuses(pod).filter(|status| {
            let state = status.state.as_ref();
            !status.ready && state.is_some_and(|state| state.running.is_some())
        });
        running.map(|status| {
            let line = format!(
                "container {} of {} runs and is not ready",
                status.name,
                pod_name(pod)
            );
            let probe = events.iter().rev().find(|event| {
                event.reason.as_deref() == Some("Unhealthy")
                    && event.involved_object.name == pod.metadata.name
                    && event
                        .involved_object
                        .field_path
                        .as_deref()
                        .is_none_or(|path| path.contains(&status.name))
            });
            let said = probe.and_then(|event| event.message.clone());
            let logs = quoted(evidence, pod, &status.name, false);
            let cause = Cause::new(line).details(said.into_iter().chain(logs).collect());
            (about(pod), cause)
        })
    });
    each.collect()
}

fn of_container(evidence: &Evidence, pod: &Pod, status: &ContainerStatus) -> Option<Cause> {
    let state = status.state.as_ref()?;
    let (container, owner) = (&status.name, pod_name(pod));
    if let Some(waiting) = &state.waiting {
        let reason = waiting.reason.as_deref().unwrap_or_default();
        let message = waiting.message.as_deref().unwrap_or("no message");
        match reason {
            "ErrImageNeverPull"
            | "ErrImagePull"
            | "ImagePullBackOff"
            | "ImageInspectError"
            | "RegistryUnavailable" => {
                return Some(image_missing(
                    container,
                    &owner,
                    image(pod, status),
                    message,
                ));
            }
            "InvalidImageName" => {
                let image = image(pod, status);
                let line = format!(
                    "`{image}`, the image of container {container} of {owner}, is not a valid name"
                );
                return Some(Cause::new(line));
            }
            "CreateContainerConfigError" | "CreateContainerError" | "RunContainerError" => {
                let line = format!("container {container} of {owner} cannot be made: {message}");
                return Some(with_advice(Cause::new(line), message));
            }
            _ => {}
        }
    }
    let last = status
        .last_state
        .as_ref()
        .and_then(|state| state.terminated.as_ref());
    let (terminated, is_previous) = match &state.terminated {
        Some(terminated) => (terminated, false),
        None => (last?, true),
    };
    if terminated.exit_code == 0 && state.waiting.is_none() {
        return None;
    }
    // A container that has recovered is no cause.
    if is_previous && status.ready {
        return None;
    }
    let line = format!("container {container} of {owner} {}", how(terminated));
    let mut details = quoted(evidence, pod, container, is_previous);
    if details.is_empty() {
        details.extend(terminated.message.clone());
    }
    let all = details.join("\n");
    let cause = Cause::new(line).details(details);
    Some(if terminated.reason.as_deref() == Some("OOMKilled") {
        cause.advice("give it more memory, or run fewer tests at once")
    } else {
        with_advice(cause, &all)
    })
}

fn image_missing(container: &str, owner: &str, image: &str, message: &str) -> Cause {
    let cause = Cause::new(format!(
        "image {image} of container {container} of {owner} is not on the host"
    ));
    let advice = if image.contains("vcluster-test/") {
        "`cargo xtask demo` makes the images of this project and loads them".to_owned()
    } else {
        format!(
            "have it in the Docker engine (`docker build -t {image} .` or `docker pull {image}`), and load it \
             in the test before the pod is made: `cluster.load_image(\"{image}\").await?`"
        )
    };
    cause.details(vec![message.to_owned()]).advice(advice)
}

fn evicted(pod: &Pod) -> Option<Cause> {
    let status = pod.status.as_ref()?;
    let reason = status
        .reason
        .as_deref()
        .filter(|reason| *reason == "Evicted")?;
    let message = status.message.as_deref().unwrap_or(reason);
    let line = format!("{} was evicted from its node: {message}", pod_name(pod));
    Some(with_advice(Cause::new(line), message))
}

fn with_advice(cause: Cause, said: &str) -> Cause {
    match text::advice(said) {
        Some(advice) => cause.advice(advice),
        None => cause,
    }
}

/// An exit code above 128 is a signal.
fn how(terminated: &ContainerStateTerminated) -> String {
    let code = terminated.exit_code;
    let reason = terminated.reason.as_deref().unwrap_or_default();
    match (reason, code) {
        ("OOMKilled", _) => format!("ran out of memory (exit code {code})"),
        (_, 0) => "ended, although it should run on".to_owned(),
        (_, 129..) => format!("was ended by signal {} (exit code {code})", code - 128),
        ("" | "Error", _) => format!("ended with exit code {code}"),
        (reason, _) => format!("ended with exit code {code} ({reason})"),
    }
}

/// The end of a container's log, of the run that crashed if it is there.
fn quoted(evidence: &Evidence, pod: &Pod, container: &str, is_previous: bool) -> Vec<String> {
    let of_run = |is_previous: bool| {
        evidence.logs.iter().find(|log| {
            Some(&log.pod) == pod.metadata.name.as_ref()
                && log.container == container
                && log.is_previous == is_previous
        })
    };
    let log = of_run(is_previous).or_else(|| of_run(!is_previous));
    let lines = log.map(|log| log.last_lines(QUOTED)).unwrap_or_default();
    lines.into_iter().map(str::to_owned).collect()
}

/// The image as the pod asks for it: the status may hold a digest, or nothing yet.
fn image<'a>(pod: &'a Pod, status: &'a ContainerStatus) -> &'a str {
    let spec = pod.spec.as_ref();
    let init = spec
        .and_then(|spec| spec.init_containers.as_ref())
        .into_iter()
        .flatten();
    let main = spec
        .map(|spec| spec.containers.iter())
        .into_iter()
        .flatten();
    main.chain(init)
        .find(|container| container.name == status.name)
        .and_then(|container| container.image.as_deref())
        .unwrap_or(&status.image)
}

fn statuses(pod: &Pod) -> impl Iterator<Item = &ContainerStatus> {
    let status = pod.status.as_ref();
    let init = status.and_then(|status| status.init_container_statuses.as_ref());
    let main = status.and_then(|status| status.container_statuses.as_ref());
    init.into_iter().chain(main).flatten()
}
