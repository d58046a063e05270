//! A running cluster put back to a saved state: its store by a program in the control plane's pod, and
//! then what it had on the host. The cluster stays up all the while.

mod error;
mod process;
mod program;
mod programs;
mod remains;
mod tokens;

use std::time::{Duration, Instant};

use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use kube::{Api, Client};
use tracing::info;
use vcluster_syncer::reset::{Report, Step};

pub use error::ResetError;
use error::request;
pub(super) use programs::Programs;

use self::{program::Program, remains::Remains};
use super::{VirtualCluster, names::Names};
use crate::{
    deadline::Deadline,
    wait::{self, conditions},
};

/// How long a cluster may take to come to rest before its state is saved.
const REST: Duration = Duration::from_mins(1);
/// How long a reset may take, also on a busy machine. What takes longer is not worth it: a new cluster
/// is there sooner.
const RESET: Duration = Duration::from_mins(1);
const DNS_NAMESPACE: &str = "kube-system";
const DNS: &str = "coredns";

/// How a reset went.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Reset {
    /// What was done to the store.
    pub store: Report,
    /// What came to the store while the host side was cleaned, such as late events.
    pub late: Report,
    /// How long the store took.
    pub store_took: Duration,
    /// How long all of it took.
    pub took: Duration,
}

/// Which of the states that a control plane's pod may keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StateFile {
    /// The one that a test has saved.
    OfTest,
    /// The one in which the next test is to find the cluster.
    OfPool,
}

/// The two sides of a cluster whose state is saved or put back.
pub(super) struct Sides<'a> {
    pub(super) on_host: &'a Client,
    /// With rights that do not end with what is put back.
    pub(super) on_virtual: &'a Client,
    pub(super) names: &'a Names,
    pub(super) file: StateFile,
    /// Where the program may be that put it back the last time, and stays for the next.
    pub(super) programs: Option<&'a Programs>,
}

impl VirtualCluster {
    /// Saves the state that [`reset`](Self::reset) goes back to, once the cluster has come to rest. It is
    /// kept in the memory of the control plane's pod, and ends with it.
    ///
    /// # Errors
    /// The cluster does not come to rest, or has what no reset can bring back.
    pub async fn save_state(&self) -> Result<Report, ResetError> {
        self.not_for_others("its test saved a state of its own");
        let (host, client) = (self.on_host(), self.client());
        let deadline = Deadline::after("a saved state", REST);
        self.is_one_pod().await?;
        // On the heap: a test's own stack is small, and it may do this often.
        Box::pin(self.sides(&host, &client).save(deadline)).await
    }

    /// Puts the cluster back to its saved state: what was made since is gone, with what it had on the
    /// host, what was changed or deleted is back, and no token from before works.
    ///
    /// What the host's node or the outside has kept of it is not undone, nor what an administrator does
    /// meanwhile with a client of before.
    ///
    /// # Errors
    /// It differs from the saved state when the time is up; it should then be deleted. Or there is no
    /// saved state, or a side does not answer.
    pub async fn reset(&self) -> Result<Reset, ResetError> {
        self.not_for_others("its test put it back itself");
        let (host, client) = (self.on_host(), self.client());
        let deadline = Deadline::after("a reset", RESET);
        self.is_one_pod().await?;
        Box::pin(self.sides(&host, &client).put_back(deadline)).await
    }

    /// The saved state is in the memory of one pod.
    async fn is_one_pod(&self) -> Result<(), ResetError> {
        let (namespace, name) = (self.namespace(), self.names().control_plane());
        let sets: Api<StatefulSet> = Api::namespaced(self.on_host(), namespace);
        let set = sets.get(name).await;
        let set = set.map_err(request(format!(
            "read stateful set {namespace}/{name} on host"
        )))?;
        match set.spec.and_then(|spec| spec.replicas) {
            Some(replicas) if replicas > 1 => Err(ResetError::Replicas { replicas }),
            _ => Ok(()),
        }
    }

    fn sides<'a>(&'a self, on_host: &'a Client, on_virtual: &'a Client) -> Sides<'a> {
        Sides {
            on_host,
            on_virtual,
            names: self.names(),
            file: StateFile::OfTest,
            programs: None,
        }
    }
}

impl Sides<'_> {
    /// Saves the state once the cluster has come to rest.
    pub(super) async fn save(&self, deadline: Deadline) -> Result<Report, ResetError> {
        self.dns_is_back(deadline).await?;
        self.program().save(deadline).await
    }

    /// Puts the store back, then waits for the host's side, and then takes away what came meanwhile.
    pub(super) async fn put_back(&self, deadline: Deadline) -> Result<Reset, ResetError> {
        let started = Instant::now();
        let program = self.program();
        let namespace = self.names.namespace();
        let stayed = self.programs.and_then(|programs| programs.take(namespace));
        let (mut program, store) = program.reset(stayed, deadline).await?;
        let store_took = started.elapsed();
        let remains = Remains {
            on_host: self.on_host,
            on_virtual: self.on_virtual,
            names: self.names,
        };
        tokio::try_join!(
            Box::pin(remains.wait_until_gone(deadline)),
            // Their accounts are new, so what they were given is worth nothing.
            Box::pin(tokens::renew(self.on_host, self.names, deadline)),
            Box::pin(self.dns_is_back(deadline)),
        )?;
        // Also compares once more, and again: whoever answered to the reset has done so by now.
        let late = program.step(Step::Tidy, deadline).await?;
        if late.written + late.deleted > 0 {
            Box::pin(remains.wait_until_gone(deadline)).await?;
        }
        let reset = Reset {
            store,
            late,
            store_took,
            took: started.elapsed(),
        };
        info!(
            cluster = self.names.cluster(),
            step = "reset",
            elapsed = ?reset.took,
            store = ?reset.store_took,
            written = reset.store.written,
            deleted = reset.store.deleted,
            "reset"
        );
        if let Some(programs) = self.programs {
            programs.keep(namespace, program.stay());
        }
        Ok(reset)
    }

    fn program(&self) -> Program {
        Program::new(self.on_host.clone(), self.names, self.file)
    }

    /// Waits for the cluster's DNS server, if it has one.
    async fn dns_is_back(&self, deadline: Deadline) -> Result<(), ResetError> {
        let deployments: Api<Deployment> = Api::namespaced(self.on_virtual.clone(), DNS_NAMESPACE);
        let available = conditions::is_deployment_available();
        let is_there = |deployment: Option<&Deployment>| {
            deployment.is_none()
                || kube::runtime::wait::Condition::matches_object(&available, deployment)
        };
        wait::until(&deployments, DNS, is_there, deadline)
            .await
            .map(drop)
            .map_err(|source| ResetError::Dns(Box::new(source)))
    }
}

impl StateFile {
    /// Where it lies in the pod, in memory.
    fn path(self) -> &'static str {
        match self {
            Self::OfTest => "/run/vcluster/state",
            Self::OfPool => "/run/vcluster/state-of-pool",
        }
    }

    /// What a store is only put back under: one that a test has filled is of memory that the next has no use for.
    fn conditions(self) -> &'static [&'static str] {
        match self {
            Self::OfTest => &[],
            Self::OfPool => &["--largest", "134217728"],
        }
    }
}
