//! Gathers everything about a cluster that is in trouble, side by side and within a limit.

use std::{path::PathBuf, time::Duration};

use kube::Client;
use serde_json::json;

use super::{
    artifacts::Artifacts,
    bundle::{Bundle, Writer},
    cause::{causes, causes_of_error},
    events,
    evidence::Evidence,
    logs,
    report::{Failure, Report},
    side::{self, Range, Side},
};
use crate::deadline::Deadline;

/// How many events a user reads at once.
const TOLD_EVENTS: usize = 10;

/// The cluster to look at.
#[derive(Clone, Copy)]
pub struct Subject<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its namespace on the host.
    pub namespace: &'a str,
    /// The host.
    pub host: &'a Client,
    /// The virtual cluster, if it came so far.
    pub virtual_cluster: Option<&'a Client>,
    /// How a person connects to it, if it is kept.
    pub connect: Option<&'a str>,
}

impl std::fmt::Debug for Subject<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Subject")
            .field("name", &self.name)
            .field("namespace", &self.namespace)
            .finish_non_exhaustive()
    }
}

/// Collects what can be had within `limit` and says why the failure happened. Never fails: what
/// cannot be had is named in the report.
pub async fn collect(
    subject: Subject<'_>,
    failure: Failure,
    artifacts: &Artifacts,
    limit: Duration,
) -> Bundle {
    // Logs are asked for when the pods are known, so the first step has half of the time.
    let whole = Deadline::after("diagnostics", limit);
    let step = whole.step("objects", limit / 2);
    let (host, virtual_cluster, versions) = tokio::join!(
        host_side(subject, step),
        virtual_side(subject, step),
        versions(subject, step),
    );
    let (logs, no_logs) = logs::fetch(subject.host, subject.namespace, &host.pods(), whole).await;
    let evidence = Evidence {
        host,
        virtual_cluster,
        logs,
    };
    let mut missing = labelled("host", &evidence.host);
    missing.extend(labelled("virtual cluster", &evidence.virtual_cluster));
    missing.extend(no_logs);
    let mut found = causes(&evidence);
    found.extend(causes_of_error(&failure.error));
    let mut report = Report {
        causes: found,
        events: last_events(&evidence),
        missing,
        connect: subject.connect.map(str::to_owned),
        failure,
    };
    let path = write(&report, &evidence, &versions, artifacts);
    let path = path
        .map_err(|error| report.missing.push(format!("no bundle: {error}")))
        .ok();
    Bundle { path, report }
}

async fn host_side(subject: Subject<'_>, deadline: Deadline) -> Side {
    side::list(subject.host, Range::Namespace(subject.namespace), deadline).await
}

async fn virtual_side(subject: Subject<'_>, deadline: Deadline) -> Side {
    match subject.virtual_cluster {
        Some(client) => side::list(client, Range::All, deadline).await,
        None => Side {
            missing: vec!["it has not come so far".to_owned()],
            ..Side::default()
        },
    }
}

async fn versions(subject: Subject<'_>, deadline: Deadline) -> serde_json::Value {
    let version = async |client: Option<&Client>| {
        let asked = client?.apiserver_version();
        let answer = tokio::time::timeout_at(deadline.instant(), asked)
            .await
            .ok()?
            .ok()?;
        Some(answer.git_version)
    };
    let (host, virtual_cluster) = tokio::join!(
        version(Some(subject.host)),
        version(subject.virtual_cluster)
    );
    json!({
        "harness": env!("CARGO_PKG_VERSION"),
        "host": host,
        "virtualCluster": virtual_cluster,
        "cluster": subject.name,
        "namespace": subject.namespace,
    })
}

fn labelled(side: &str, found: &Side) -> Vec<String> {
    let missing = found.missing.iter();
    missing
        .map(|missing| format!("{side}: {missing}"))
        .collect()
}

fn last_events(evidence: &Evidence) -> Vec<String> {
    let mut all = evidence.host.events();
    all.extend(evidence.virtual_cluster.events());
    let all = events::sorted(all);
    let last = &all[all.len().saturating_sub(TOLD_EVENTS)..];
    last.iter().map(events::line).collect()
}

fn write(
    report: &Report,
    evidence: &Evidence,
    versions: &serde_json::Value,
    artifacts: &Artifacts,
) -> std::io::Result<PathBuf> {
    let writer = Writer::new(artifacts.create(&report.failure.test)?);
    // What is read first is written first, while there is room.
    writer.write("summary.txt", &report.to_string())?;
    writer.write("versions.yaml", &yaml(versions)?)?;
    let sides = [
        ("host", &evidence.host),
        ("virtual", &evidence.virtual_cluster),
    ];
    for (name, side) in sides {
        let lines = events::sorted(side.events());
        let lines: String = lines
            .iter()
            .map(|event| events::line(event) + "\n")
            .collect();
        writer.write(format!("events-{name}.txt"), &lines)?;
    }
    for log in &evidence.logs {
        writer.write(format!("logs/{}.log", log.name()), &log.text)?;
    }
    for (name, side) in sides {
        for (kind, objects) in &side.objects {
            writer.write(format!("objects/{name}/{kind}.yaml"), &yaml(objects)?)?;
        }
    }
    Ok(writer.directory().to_owned())
}

fn yaml(value: &impl serde::Serialize) -> std::io::Result<String> {
    serde_yaml_ng::to_string(value).map_err(std::io::Error::other)
}
