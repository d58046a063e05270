//! A backend without clusters that writes down what it is asked for, and stands in for the harness where
//! the attribute is told so: `#[vcluster_test(crate = crate::pretend)]`.

use std::{
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use vcluster_harness::{
    diagnostics::Failure,
    settings::Settings,
    testing::{
        Argument, ArgumentError, Backend, CleanUpError, Explanation, Need, SetUpError, TestInfo,
    },
};

pub(crate) use vcluster_harness::settings;

/// What the expansion of the attribute names.
pub(crate) mod testing {
    use vcluster_harness::testing::{
        self as real, Argument, ArgumentError, Given, Need, Outcome, Slot,
    };
    pub(crate) use vcluster_harness::testing::{Flavor, TestSpec};

    use super::{Cluster, Pretend};

    pub(crate) fn slot<T: Argument<Cluster>>() -> Slot<T, Cluster> {
        Slot::new()
    }

    #[track_caller]
    pub(crate) fn run<F: Future<Output: Outcome>>(
        spec: TestSpec,
        needs: &[Need],
        body: impl AsyncFnOnce(&mut Given<'_, Cluster>) -> Result<F, ArgumentError>,
    ) -> F::Output {
        real::run_on(&Pretend::default(), spec, needs, body)
    }
}

/// A cluster that is only a name, the number of its start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cluster(pub(crate) usize);

impl Argument<Cluster> for Cluster {
    const NEED: Need = Need::NewCluster;

    async fn of(cluster: &Cluster, _: &TestInfo) -> Result<Self, ArgumentError> {
        Ok(cluster.clone())
    }
}

/// Stands for a client: belongs to a cluster and needs none of its own.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Client {
    pub(crate) cluster: usize,
}

impl Argument<Cluster> for Client {
    async fn of(cluster: &Cluster, _: &TestInfo) -> Result<Self, ArgumentError> {
        Ok(Self { cluster: cluster.0 })
    }
}

/// Where something goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// This start fails.
    Start(usize),
    /// This start panics.
    StartPanics(usize),
    /// A start waits for another one, as a barrier does.
    StartAlone,
    /// The search for the cause panics.
    Explain,
    /// The deletion fails.
    Stop,
    /// The deletion never ends.
    StopHangs,
}

/// The backend.
#[derive(Debug)]
pub(crate) struct Pretend {
    settings: Settings,
    fault: Option<Fault>,
    starts: AtomicUsize,
    events: Mutex<Vec<String>>,
}

impl Default for Pretend {
    fn default() -> Self {
        Self::with(&[])
    }
}

impl Pretend {
    /// With an environment.
    pub(crate) fn with<const N: usize>(environment: &[(&str, &str); N]) -> Self {
        Self {
            settings: Settings::from_environment(environment)
                .expect("the environment is one of ours"),
            fault: None,
            starts: AtomicUsize::new(0),
            events: Mutex::default(),
        }
    }

    pub(crate) fn fault(mut self, fault: Fault) -> Self {
        self.fault = Some(fault);
        self
    }

    pub(crate) fn stop_timeout(mut self, limit: Duration) -> Self {
        self.settings.stop_timeout = limit;
        self
    }

    pub(crate) fn start_timeout(mut self, limit: Duration) -> Self {
        self.settings.start_timeout = limit;
        self
    }

    /// Writes an event down, also for the test's body.
    pub(crate) fn note(&self, event: impl Into<String>) {
        self.locked().push(event.into());
    }

    pub(crate) fn events(&self) -> Vec<String> {
        self.locked().clone()
    }

    fn locked(&self) -> MutexGuard<'_, Vec<String>> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Backend for Pretend {
    type Cluster = Cluster;

    fn settings(&self) -> &Settings {
        &self.settings
    }

    async fn start(&self, _: &TestInfo) -> Result<Cluster, SetUpError> {
        let number = self.starts.fetch_add(1, Ordering::SeqCst);
        self.note(format!("start {number}"));
        match self.fault {
            Some(Fault::Start(at)) if at == number => {
                let cause = std::io::Error::other("engine not reachable");
                Err(SetUpError {
                    cause: anyhow::Error::new(cause).context("could not start").into(),
                    explanation: Explanation {
                        summary: "why: the engine is stopped".to_owned(),
                        bundles: Vec::new(),
                    },
                })
            }
            Some(Fault::StartPanics(at)) if at == number => panic!("a bug"),
            Some(Fault::StartAlone) => {
                let both = async {
                    while self.starts.load(Ordering::SeqCst) < 2 {
                        tokio::task::yield_now().await;
                    }
                };
                tokio::time::timeout(Duration::from_secs(10), both).await?;
                Ok(Cluster(number))
            }
            _ => Ok(Cluster(number)),
        }
    }

    async fn explain(&self, clusters: &[Cluster], failure: &Failure) -> Explanation {
        let first = failure.error.lines().next().unwrap_or_default();
        self.note(format!("explain {} because {first}", clusters.len()));
        assert_ne!(self.fault, Some(Fault::Explain), "a bug");
        Explanation::default()
    }

    async fn stop(&self, cluster: Cluster) -> Result<(), CleanUpError> {
        self.note(format!("stop {}", cluster.0));
        match self.fault {
            Some(Fault::Stop) => Err("host not reachable".into()),
            Some(Fault::StopHangs) => std::future::pending().await,
            _ => Ok(()),
        }
    }

    async fn keep(&self, _: &TestInfo, cluster: Cluster) -> Result<String, CleanUpError> {
        self.note(format!("keep {}", cluster.0));
        Ok(format!("cluster {} is kept", cluster.0))
    }
}
