//! Starts everything and ends it.

use std::sync::Arc;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

use crate::{
    chain::Chain, clusters::Clusters, controllers::Controllers, coredns::CoreDns,
    election::Candidate, events, health, health::Health, metrics_server::MetricsServer,
};

/// A running syncer. End it with [`Self::shutdown`]; dropping it leaves writes half done.
#[derive(Debug)]
#[must_use = "a syncer that is dropped stops at once"]
pub struct Syncer {
    clusters: Arc<Clusters>,
    tasks: JoinSet<()>,
    stop: CancellationToken,
}

impl Syncer {
    /// Starts to keep the two clusters in step. The virtual one need not answer yet.
    pub fn start(clusters: Clusters) -> Self {
        let clusters = Arc::new(clusters);
        let stop = CancellationToken::new();
        let mut tasks = JoinSet::new();
        clusters.caches.watch(
            clusters.on_virtual.client(),
            clusters.on_host.client(),
            &mut tasks,
            &stop,
        );
        tasks.spawn(lead(Arc::clone(&clusters), stop.clone()));
        Self {
            clusters,
            tasks,
            stop,
        }
    }

    /// The clusters that it keeps in step.
    pub fn clusters(&self) -> &Arc<Clusters> {
        &self.clusters
    }

    /// Tells when the syncer is asked to stop.
    pub fn stop_token(&self) -> CancellationToken {
        self.stop.clone()
    }

    /// Runs another task with the syncer, such as the relay. It must end when
    /// [`Self::stop_token`] says so, and ends the syncer when it ends before.
    pub fn run_with(&mut self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(task);
    }

    /// Answers health checks on the configured address.
    pub async fn serve_health(&mut self) -> Result<std::net::SocketAddr, health::Error> {
        let health = Health::bind(Arc::clone(&self.clusters)).await?;
        let address = health
            .address()
            .unwrap_or(self.clusters.config.health_address);
        self.tasks.spawn(health.run(self.stop.clone()));
        Ok(address)
    }

    /// Waits until everything has been seen once.
    pub async fn wait_until_ready(&self) {
        self.clusters.caches.wait_until_ready().await;
    }

    /// Waits until a task ends that should not.
    pub async fn wait_for_failure(&mut self) {
        match self.tasks.join_next().await {
            Some(Err(error)) => warn!(%error, "a task ended"),
            Some(Ok(())) => warn!("a task ended"),
            None => {}
        }
    }

    /// Finishes what was begun and stops.
    pub async fn shutdown(mut self) {
        self.stop.cancel();
        while self.tasks.join_next().await.is_some() {}
    }
}

/// Works: always as the only syncer, and as one of several whenever elected.
async fn lead(clusters: Arc<Clusters>, stop: CancellationToken) {
    if !clusters.config.leader_election.enabled {
        return work(clusters, stop).await;
    }
    let candidate = Candidate::new(clusters.on_host.client().clone(), &clusters.config);
    let work = |stop| work(Arc::clone(&clusters), stop);
    candidate.run(&clusters.mandate, &stop, work).await;
}

/// Keeps the two clusters in step until `stop`. What was remembered before may be out of date, so
/// this starts with nothing but what the caches show.
async fn work(clusters: Arc<Clusters>, stop: CancellationToken) {
    let controllers = Controllers::new(&clusters);
    let dns = async {
        if let Some(dns) = CoreDns::new(&clusters.config) {
            dns.run(&clusters.on_virtual, stop.clone()).await;
        }
    };
    let metrics = async {
        match MetricsServer::new(&clusters.config) {
            Ok(Some(server)) => server.run(&clusters.on_virtual, stop.clone()).await,
            Ok(None) => {}
            Err(error) => error!(error = %Chain(&error), "there will be no `metrics.k8s.io`"),
        }
    };
    let events = async {
        if clusters.config.sync.from_host.events.enabled {
            events::run(Arc::clone(&clusters), stop.clone()).await;
        }
    };
    tokio::join!(
        controllers.run(Arc::clone(&clusters), stop.clone()),
        dns,
        metrics,
        events
    );
}

#[cfg(test)]
pub(crate) mod tests {
    use http::{Request, Response};
    use kube::{Client, client::Body};

    /// A client that never answers.
    pub(crate) fn unreachable() -> Client {
        let service = tower::service_fn(|_: Request<Body>| {
            std::future::pending::<Result<Response<Body>, std::convert::Infallible>>()
        });
        Client::new(service, "default")
    }
}
