//! The real backend: virtual clusters on the host that this machine shares.

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
    time::Instant,
};

use jiff::Timestamp;
use tokio::sync::OnceCell;
use tracing::{debug, warn};
use vcluster_syncer::config::Sync;

use super::{
    argument::{ArgumentError, Given, Need},
    backend::{Backend, CleanUpError, Explanation, SetUpError},
    evidence,
    outcome::Outcome,
    run::run_on,
    spec::{TestInfo, TestSpec},
    verdict::Verdict,
};
use crate::{
    admission::{Gate, Room},
    asset::Assets,
    cluster::{self, OnFailure, VirtualCluster, VirtualClusterBuilder, new_name},
    datastore::Datastore,
    diagnostics::{Artifacts, Failure},
    distro,
    host::{self, HostCluster},
    lease::{HostAccess, Session},
    owner,
    pool::Pool,
    progress::Progress,
    reaper::{self, Restart},
    settings::{Keep, Settings},
    signal,
    timeline::{self, Event, Kind},
};

/// Clusters for one test. The host is looked up when the first is asked for.
#[derive(Debug)]
pub(super) struct SharedHost {
    settings: Settings,
    progress: Progress,
    assets: Assets,
    place: OnceCell<Place>,
    room: OnceLock<Room>,
}

/// A host that is there, and what this process is to it.
#[derive(Debug)]
struct Place {
    host: HostCluster,
    session: Arc<Session>,
}

impl SharedHost {
    pub(super) fn new(settings: Settings) -> Self {
        let progress = Progress::detect();
        Self {
            assets: Assets::new(&settings, progress.clone()),
            settings,
            progress,
            place: OnceCell::new(),
            room: OnceLock::new(),
        }
    }

    /// Looked for once per test: two clusters of one test ask for it at the same time.
    async fn place(&self, test: &TestInfo) -> Result<&Place, SetUpError> {
        let find = async || {
            host::install_provider();
            if let Err(error) = signal::install() {
                warn!(%error, "a signal will leave its clusters to the reaper");
            }
            let began = Instant::now();
            let host = self.host(test.spec.nodes).await?;
            timeline::record(Event::span(Kind::Host, "host", began).detail(host.name()));
            debug!(host = host.name(), "has a host");
            let client = host.client().await?;
            let access = HostAccess {
                name: host.name(),
                kubeconfig: host.kubeconfig(),
                client: &client,
            };
            let restart = Restart::Test(test.path.clone());
            let session = Session::for_process(&self.settings, access, &restart).await?;
            reaper::sweep_once(&self.settings, host.name(), &client).await;
            Ok(Place { host, session })
        };
        self.place.get_or_try_init(find).await
    }

    async fn host(&self, nodes: Option<usize>) -> Result<HostCluster, host::Error> {
        let (settings, assets, progress) = (&self.settings, &self.assets, &self.progress);
        match nodes {
            None => host::shared(settings, assets, progress).await,
            Some(nodes) => host::shared_with_nodes(settings, nodes, assets, progress).await,
        }
    }

    /// The room of the test's clusters, taken by the first that has to be started.
    fn room(&self, test: &TestInfo) -> &Room {
        self.room.get_or_init(|| {
            let gate = Gate::new(&self.settings);
            Room::new(
                gate,
                &test.full_name(),
                test.clusters,
                self.progress.clone(),
            )
        })
    }

    fn builder(
        &self,
        test: &TestInfo,
        session: &Session,
    ) -> Result<VirtualClusterBuilder, SetUpError> {
        let keep = test.spec.keep_policy(&self.settings);
        let mut builder = VirtualCluster::builder(&new_name())
            .owner(session.owner(&test.run, keep))
            .timeout(self.settings.start_timeout)
            .room(self.room(test).clone())
            // What is left is looked at before it is deleted.
            .on_failure(OnFailure::Leave);
        if let Some(name) = test.spec.distro {
            builder = builder.distro(distro::find(name)?);
        }
        if let Some(text) = test.spec.version {
            builder = builder.version(text.parse()?);
        }
        if let Some(text) = test.spec.sync {
            builder = builder.sync(Sync::from_yaml(text)?);
        }
        if let Some(replicas) = test.spec.replicas {
            builder = builder.replicas(replicas);
        }
        if let Some(text) = test.spec.store {
            let environment = |name: &str| std::env::var(name).ok();
            builder = builder.store(Datastore::named(text, environment)?);
        }
        builder = builder.fixtures(test.spec.fixtures);
        Ok(match self.pool(test) {
            Some(pool) => builder.pooled(pool),
            None => builder,
        })
    }

    /// Where its clusters may be from and go to. Without a reaper nobody would delete what waits in vain.
    fn pool(&self, test: &TestInfo) -> Option<Pool> {
        let stays = test.spec.keep_policy(&self.settings) == Keep::Always;
        let is_alone = test.spec.fresh || stays || !self.settings.reaper;
        self.settings.pool.filter(|_| !is_alone)
    }

    /// Looks at what there is of a cluster that did not start, and then deletes or keeps it.
    async fn give_up(&self, test: &TestInfo, place: &Place, error: cluster::Error) -> SetUpError {
        let mut explanation = evidence::of_start(&self.settings, test, &place.host, &error).await;
        let ended = match test.spec.keep_policy(&self.settings) {
            Keep::Never => self.undo(place, &error.cluster).await,
            Keep::OnFailure | Keep::Always => keep(place, &error.cluster).await,
        };
        let note = ended.unwrap_or_else(|trouble| {
            let trouble = super::report::chain(&*trouble);
            format!(
                "what there is of cluster {} stays: {trouble}",
                error.cluster
            )
        });
        explanation.note(&note);
        SetUpError {
            cause: error.into(),
            explanation,
        }
    }

    async fn undo(&self, place: &Place, name: &str) -> Result<String, CleanUpError> {
        let deleted = async {
            cluster::delete(&place.host.client().await?, name).await?;
            Ok(String::new())
        };
        tokio::time::timeout(self.settings.stop_timeout, deleted).await?
    }
}

/// Runs one test on clusters of the shared host: what the attribute calls.
///
/// # Panics
/// When the test fails; see [`run_on`].
#[track_caller]
pub fn run<F: Future<Output: Outcome>>(
    spec: TestSpec,
    needs: &[Need],
    body: impl AsyncFnOnce(&mut Given<'_, VirtualCluster>) -> Result<F, ArgumentError>,
) -> F::Output {
    // This process may be a reaper that was started by the name of this test.
    reaper::run_if_asked();
    match Settings::from_process() {
        Ok(settings) => {
            let _running = Running::begin();
            timeline::start(&Artifacts::new(&settings));
            run_on(&SharedHost::new(settings), spec, needs, body)
        }
        Err(error) => Verdict::not_set_up(&spec, &error).deliver(&TestInfo::new(spec), false),
    }
}

/// How many tests of this process run.
static RUNNING: AtomicUsize = AtomicUsize::new(0);

/// A test that runs.
struct Running;

impl Running {
    fn begin() -> Self {
        RUNNING.fetch_add(1, Ordering::SeqCst);
        Self
    }

    /// For a test that runs: is there no other?
    fn is_alone() -> bool {
        RUNNING.load(Ordering::SeqCst) <= 1
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        RUNNING.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Backend for SharedHost {
    type Cluster = VirtualCluster;

    fn settings(&self) -> &Settings {
        &self.settings
    }

    async fn start(&self, test: &TestInfo) -> Result<VirtualCluster, SetUpError> {
        let place = self.place(test).await?;
        let builder = self.builder(test, &place.session)?;
        let began = Instant::now();
        let started = builder.start(&place.host, &self.assets).await;
        self.room(test).start_is_over().await;
        match started {
            Ok(cluster) => {
                timeline::record_start(&cluster, began);
                Ok(cluster)
            }
            Err(error) => {
                let event = Event::span(Kind::Start, "start", began).outcome(false);
                timeline::record(event.cluster(&error.cluster));
                Err(self.give_up(test, place, error).await)
            }
        }
    }

    async fn explain(&self, clusters: &[VirtualCluster], failure: &Failure) -> Explanation {
        evidence::of_test(&self.settings, clusters, failure).await
    }

    /// Behind the back of another test, if there is one: when the last one ends, so does the process.
    async fn give_back(&self, cluster: VirtualCluster) -> Result<(), CleanUpError> {
        if Running::is_alone() {
            Ok(cluster.give_back().await?)
        } else {
            Ok(cluster.give_back_later().await?)
        }
    }

    async fn stop(&self, cluster: VirtualCluster) -> Result<(), CleanUpError> {
        Ok(cluster.delete().await?)
    }

    async fn keep(&self, test: &TestInfo, cluster: VirtualCluster) -> Result<String, CleanUpError> {
        let place = self.place.get().expect("a cluster was started in a place");
        let until = place.session.kept_until();
        let owner = place.session.owner(&test.run, Keep::Always);
        cluster.keep(&owner).await?;
        Ok(kept(cluster.name(), until))
    }
}

/// Unties what there is of a cluster from this process.
async fn keep(place: &Place, name: &str) -> Result<String, CleanUpError> {
    let until = place.session.kept_until();
    owner::keep(&place.host.client().await?, name, until).await?;
    Ok(kept(name, until))
}

fn kept(name: &str, until: Timestamp) -> String {
    format!(
        "cluster {name} is kept until {until:.0}: `cargo vcluster kubeconfig {name}` connects to it, \
         `cargo vcluster delete {name}` deletes it"
    )
}
