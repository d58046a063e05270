//! `logs`: what the control plane and the syncer of a cluster say.

use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, ResourceExt as _,
    api::{ListParams, LogParams},
};

use super::{hosts::Hosts, run::Context};
use crate::{
    arguments::LogsArguments,
    exit::{Exit, Failure},
    report::LogLine,
};

/// Label of the host pods that make up a control plane.
const CONTROL_PLANE: &str = "vcluster-test.dev/control-plane";

pub(super) async fn logs(cx: &Context, arguments: LogsArguments) -> Result<Exit, Failure> {
    let hosts = Hosts::find(cx).await?;
    let found = hosts.cluster(&arguments.name).await?;
    let pods: Api<Pod> = Api::namespaced(found.client.clone(), &found.record.namespace);
    let selector = format!("{CONTROL_PLANE}={}", arguments.name);
    let unreadable = |error| Failure::new(Exit::Host, error);
    let control_plane = pods
        .list(&ListParams::default().labels(&selector))
        .await
        .map_err(unreadable)?;
    let all: Vec<(String, String)> = control_plane.iter().flat_map(containers).collect();
    let wanted: Vec<_> = all
        .iter()
        .filter(|(_, container)| {
            arguments
                .container
                .as_ref()
                .is_none_or(|wanted| wanted == container)
        })
        .collect();
    if wanted.is_empty() {
        return Err(Failure::nothing_selected(&no_container(&arguments, &all)));
    }
    for (pod, container) in wanted {
        let parameters = LogParams {
            container: Some(container.clone()),
            previous: arguments.previous,
            tail_lines: arguments.tail,
            ..LogParams::default()
        };
        match pods.logs(pod, &parameters).await {
            Ok(log) => {
                for line in log.lines() {
                    cx.print_log(&LogLine { container, line })?;
                }
            }
            // One that does not run yet, or never ended, has nothing to say.
            Err(kube::Error::Api(status)) if status.code == 400 => {
                cx.progress
                    .note(&format!("{container}: {}", status.message));
            }
            Err(error) => return Err(unreadable(error)),
        }
    }
    Ok(Exit::Good)
}

fn containers(pod: &Pod) -> Vec<(String, String)> {
    let spec = pod.spec.iter();
    spec.flat_map(|spec| &spec.containers)
        .map(|container| (pod.name_any(), container.name.clone()))
        .collect()
}

fn no_container(arguments: &LogsArguments, all: &[(String, String)]) -> String {
    let names: Vec<&str> = all
        .iter()
        .map(|(_, container)| container.as_str())
        .collect();
    match &arguments.container {
        Some(wanted) if !names.is_empty() => {
            format!(
                "there is no container {wanted}; there are {}",
                names.join(", ")
            )
        }
        _ => format!("the control plane of {} has no pod", arguments.name),
    }
}
