//! Looks at the control-plane pod and at the host's warnings while something else is awaited.

use std::{future, pin::pin, time::Duration};

use futures::{FutureExt as _, StreamExt as _, future::BoxFuture, stream::BoxStream};
use k8s_openapi::api::core::v1::{ContainerStatus, Event, Pod};
use kube::{
    Api, Client,
    api::LogParams,
    runtime::{WatchStreamExt as _, watcher},
};

use super::{ContainerFailure, database, failure::Restarts};
use crate::{
    cluster::{
        error::Cause,
        names::{CONTROL_PLANE, Names},
        phases::{Phase, Phases},
        sightings::Sightings,
    },
    deadline::Deadline,
    distro::OutsideDatabase,
    wait::last_seen,
};

/// The budget for asking for the last words of a container.
const ASK_FOR_LOG: Duration = Duration::from_secs(2);
const LOG_LINES: i64 = 20;

/// A watch on one control plane.
pub(in crate::cluster) struct Watch {
    pods: Api<Pod>,
    changes: BoxStream<'static, watcher::Result<Pod>>,
    warnings: BoxStream<'static, watcher::Result<Event>>,
    database: Option<OutsideDatabase>,
    trouble: BoxFuture<'static, Cause>,
    set: String,
    before: Restarts,
    sightings: Sightings,
}

impl Watch {
    pub(in crate::cluster) fn start(
        host: Client,
        names: &Names,
        database: Option<&OutsideDatabase>,
        sightings: Sightings,
    ) -> Self {
        let pods: Api<Pod> = Api::namespaced(host.clone(), names.namespace());
        let events: Api<Event> = Api::namespaced(host, names.namespace());
        let warnings = watcher::watcher(events, watcher::Config::default().fields("type=Warning"));
        let selector = format!("{CONTROL_PLANE}={}", names.cluster());
        let of_control_plane = watcher::Config::default().labels(&selector);
        Self {
            changes: watcher::watcher(pods.clone(), of_control_plane)
                .applied_objects()
                .boxed(),
            warnings: warnings.applied_objects().boxed(),
            trouble: match database {
                Some(database) => {
                    database::trouble(pods.clone(), names.pod(), database.clone()).boxed()
                }
                None => future::pending().boxed(),
            },
            database: database.cloned(),
            set: names.control_plane().to_owned(),
            before: Restarts::default(),
            pods,
            sightings,
        }
    }

    /// The same for pods that run: what happened to their containers before is over.
    #[must_use]
    pub(in crate::cluster) fn after(self, pods: &[Pod]) -> Self {
        Self {
            before: Restarts::of(pods),
            ..self
        }
    }

    /// Awaits `future`, unless the control plane fails or the deadline passes first. All of it may be
    /// dropped half-way: the streams keep what they have not given, and requests are only reads.
    pub(in crate::cluster) async fn until<T>(
        &mut self,
        deadline: Deadline,
        phases: &mut Phases,
        future: impl Future<Output = T>,
    ) -> Result<T, Cause> {
        let mut future = pin!(future);
        let timeout = tokio::time::sleep_until(deadline.instant());
        let mut timeout = pin!(timeout);
        loop {
            tokio::select! {
                output = &mut future => return Ok(output),
                Some(change) = self.changes.next() => match change {
                    Ok(pod) => self.look_at(&pod, phases).await?,
                    Err(error) => self.pause(&error).await,
                },
                Some(event) = self.warnings.next() => match event {
                    Ok(event) => self.heed(&event)?,
                    Err(error) => self.pause(&error).await,
                },
                cause = &mut self.trouble => return Err(cause),
                () = &mut timeout => return Err(Cause::TimedOut {
                    awaited: deadline.name(),
                    limit: deadline.limit(),
                    last_seen: self.sightings.to_string(),
                }),
            }
        }
    }

    async fn look_at(&self, pod: &Pod, phases: &mut Phases) -> Result<(), Cause> {
        self.sightings.note("pod", last_seen(Some(pod)));
        if let Some(failure) = ContainerFailure::since(&self.before, pod) {
            let failure = self.ask(pod, failure).await;
            return Err(database::cause(self.database.as_ref(), failure));
        }
        if is_scheduled(pod) {
            phases.pass(Phase::Scheduled);
        }
        if is_running(pod) {
            phases.pass(Phase::Containers);
        }
        Ok(())
    }

    /// Adds the end of the log when the host does not give a container's last words itself.
    async fn ask(&self, pod: &Pod, failure: ContainerFailure) -> ContainerFailure {
        let name = pod.metadata.name.as_deref().unwrap_or_default();
        if !failure.log.is_empty() {
            return failure;
        }
        let params = LogParams {
            container: Some(failure.container.clone()),
            tail_lines: Some(LOG_LINES),
            ..LogParams::default()
        };
        match tokio::time::timeout(ASK_FOR_LOG, self.pods.logs(name, &params)).await {
            Ok(Ok(log)) => failure.with_log(&log),
            _ => failure,
        }
    }

    fn heed(&self, event: &Event) -> Result<(), Cause> {
        let message = event.message.clone().unwrap_or_default();
        let reason = event.reason.as_deref().unwrap_or("Warning");
        let about = &event.involved_object;
        let is_the_set = about.kind.as_deref() == Some("StatefulSet")
            && about.name.as_deref() == Some(self.set.as_str());
        if is_the_set && reason == "FailedCreate" {
            return Err(Cause::PodRefused { message });
        }
        self.sightings.note("event", format!("{reason}: {message}"));
        Ok(())
    }

    /// A watch that expired or lost its server is begun again; without a pause that would spin.
    async fn pause(&self, error: &watcher::Error) {
        self.sightings.note("host", error.to_string());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn is_scheduled(pod: &Pod) -> bool {
    let conditions = pod
        .status
        .as_ref()
        .and_then(|status| status.conditions.as_ref());
    conditions
        .into_iter()
        .flatten()
        .any(|condition| condition.type_ == "PodScheduled" && condition.status == "True")
}

fn is_running(pod: &Pod) -> bool {
    let wanted = pod.spec.as_ref().map_or(0, |spec| spec.containers.len());
    let runs = |status: &&ContainerStatus| {
        status
            .state
            .as_ref()
            .is_some_and(|state| state.running.is_some())
    };
    let statuses = pod
        .status
        .as_ref()
        .and_then(|status| status.container_statuses.as_ref());
    wanted > 0 && statuses.into_iter().flatten().filter(runs).count() == wanted
}
