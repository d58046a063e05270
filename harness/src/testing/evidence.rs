//! What is found out about the clusters of a test that failed.

use std::time::Duration;

use futures::future::join_all;
use kube::Client;

use super::{backend::Explanation, report, spec::TestInfo};
use crate::{
    cluster::{self, VirtualCluster},
    diagnostics::{self, Artifacts, Bundle, Failure, Subject},
    host::HostCluster,
    settings::Settings,
};

/// How long the evidence may take to collect.
const LIMIT: Duration = Duration::from_secs(10);

/// Looks at the running clusters of a test.
pub(super) async fn of_test(
    settings: &Settings,
    clusters: &[VirtualCluster],
    failure: &Failure,
) -> Explanation {
    let artifacts = Artifacts::new(settings);
    let bundles = join_all(clusters.iter().map(async |cluster| {
        let (host, client) = (cluster.host_client(), cluster.client());
        let subject = subject(cluster.name(), &host, Some(&client));
        diagnostics::collect(subject, failure.clone(), &artifacts, LIMIT).await
    }));
    let mut explanation = Explanation::default();
    for bundle in bundles.await {
        add(&mut explanation, bundle);
    }
    if let Some(cluster) = clusters.first() {
        look_at_host(&mut explanation, cluster.host()).await;
    }
    explanation
}

/// Looks at what there is of a cluster that did not start.
pub(super) async fn of_start(
    settings: &Settings,
    test: &TestInfo,
    host: &HostCluster,
    error: &cluster::Error,
) -> Explanation {
    let mut explanation = Explanation::default();
    look_at_host(&mut explanation, host).await;
    let Ok(client) = host.client().await else {
        return explanation;
    };
    let failure = Failure {
        test: test.run.clone(),
        step: error.step.to_string(),
        elapsed: Some(error.elapsed),
        last_seen: None,
        error: report::chain(error),
    };
    let subject = subject(&error.cluster, &client, None);
    let bundle = diagnostics::collect(subject, failure, &Artifacts::new(settings), LIMIT).await;
    add(&mut explanation, bundle);
    explanation
}

/// A test's cluster is called like its namespace.
fn subject<'a>(
    name: &'a str,
    host: &'a Client,
    virtual_cluster: Option<&'a Client>,
) -> Subject<'a> {
    Subject {
        name,
        namespace: name,
        host,
        virtual_cluster,
        connect: None,
    }
}

fn add(explanation: &mut Explanation, bundle: Bundle) {
    explanation.note(&bundle.report.explanation());
    explanation.bundles.extend(bundle.path);
}

/// A host that was deleted, stopped or restarted behind our back explains every other error.
async fn look_at_host(explanation: &mut Explanation, host: &HostCluster) {
    match tokio::time::timeout(LIMIT, host.check()).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => explanation.note(&format!("why: {}", report::chain(&error))),
        Err(_) => explanation.note(&format!(
            "why: the Docker engine does not say within {} s whether host {} still runs: it hangs, or is restarted",
            LIMIT.as_secs(),
            host.name()
        )),
    }
}
