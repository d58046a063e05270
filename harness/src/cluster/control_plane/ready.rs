//! Asks whether a control plane is ready. Asks often: these answers are what a test waits for.

use std::time::Duration;

use http::Request;
use k8s_openapi::{api::core::v1::ServiceAccount, apimachinery::pkg::apis::meta::v1::ObjectMeta};
use kube::{Api, Client, api::PostParams};
use tracing::{instrument::WithSubscriber as _, subscriber::NoSubscriber};

use crate::cluster::{names::Names, sightings::Sightings};

const PAUSE: Duration = Duration::from_millis(25);
/// An address that nobody answers for must not hold up the next attempt.
const ATTEMPT: Duration = Duration::from_secs(2);
const SYNCER_PORT: u16 = 8080;

/// Returns when the API server says that it is ready.
pub(in crate::cluster) async fn api_ready(cluster: &Client, path: &str, sightings: &Sightings) {
    ask_until_ready(cluster, path, "API server", sightings).await;
}

/// Returns when the syncers of all pods say that they are ready, asked through the host's API server.
pub(in crate::cluster) async fn syncers_ready(
    host: &Client,
    names: &Names,
    replicas: u8,
    sightings: &Sightings,
) {
    for pod in names.replicas(replicas).names() {
        let path = format!(
            "/api/v1/namespaces/{}/pods/{pod}:{SYNCER_PORT}/proxy/readyz",
            names.namespace(),
        );
        ask_until_ready(host, &path, "syncer", sightings).await;
    }
}

/// Returns when the account exists without which no pod can be created in the namespace `default`.
/// The controller manager makes it within a second of its own start; whoever is first has made it.
pub(in crate::cluster) async fn account_exists(cluster: &Client, sightings: &Sightings) {
    let accounts: Api<ServiceAccount> = Api::namespaced(cluster.clone(), "default");
    let account = ServiceAccount {
        metadata: ObjectMeta {
            name: Some("default".to_owned()),
            ..ObjectMeta::default()
        },
        ..ServiceAccount::default()
    };
    repeat("service account", sightings, async || {
        match accounts.create(&PostParams::default(), &account).await {
            Err(kube::Error::Api(status)) if status.code == 409 => Ok(()),
            // The namespace may be a moment younger than the server.
            Err(error) => Err(explain(&error)),
            Ok(_) => Ok(()),
        }
    })
    .await;
}

async fn ask_until_ready(
    client: &Client,
    path: &str,
    subject: &'static str,
    sightings: &Sightings,
) {
    repeat(subject, sightings, async || {
        let request = Request::get(path)
            .body(Vec::new())
            .map_err(|error| error.to_string())?;
        client
            .request_text(request)
            // The library logs every connection that fails, as an error; here most are meant to.
            .with_subscriber(NoSubscriber::default())
            .await
            .map(drop)
            .map_err(|error| explain(&error))
    })
    .await;
}

/// Tries until it succeeds, and notes why it did not.
pub(in crate::cluster) async fn repeat(
    subject: &'static str,
    sightings: &Sightings,
    attempt: impl AsyncFn() -> Result<(), String>,
) {
    loop {
        match tokio::time::timeout(ATTEMPT, attempt()).await {
            Ok(Ok(())) => break sightings.forget(subject),
            Ok(Err(state)) => sightings.note(subject, state),
            Err(_) => sightings.note(subject, format!("no answer within {ATTEMPT:?}")),
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// What a failed attempt says, without the noise of everything that is well.
fn explain(error: &kube::Error) -> String {
    let text = match error {
        kube::Error::Api(status) => status.message.clone(),
        kube::Error::Service(error) => innermost(error.as_ref()),
        other => innermost(other),
    };
    let failed: Vec<_> = text
        .lines()
        .filter_map(|line| line.strip_prefix("[-]"))
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    if failed.is_empty() {
        text.trim().to_owned()
    } else {
        format!("not finished: {}", failed.join(", "))
    }
}

fn innermost(error: &(dyn std::error::Error + 'static)) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}
