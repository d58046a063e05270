//! Why a cluster could not be saved or put back.

use std::time::Duration;

use vcluster_syncer::reset::told;

use crate::wait;

/// A cluster that could not be saved or put back.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ResetError {
    /// The host does not run the program.
    #[error("could not run `store {command}` in pod {pod} on host")]
    Run {
        /// What the program was to do.
        command: &'static str,
        /// The control plane's pod.
        pod: String,
        /// The refusal.
        source: kube::Error,
    },
    /// There is more than one store to put back, and API servers that share it.
    #[error(
        "only a control plane of one pod can be saved and put back, and this one has {replicas}"
    )]
    Replicas {
        /// How many pods it has.
        replicas: i32,
    },
    /// The program failed.
    #[error("`store {command}` in pod {pod} failed: {message}")]
    Failed {
        /// What the program was to do.
        command: &'static str,
        /// The control plane's pod.
        pod: String,
        /// The program's last words.
        message: String,
    },
    /// The program did not end.
    #[error("`store {command}` in pod {pod} did not end within {:.0} s", limit.as_secs_f64())]
    Silent {
        /// What the program was to do.
        command: &'static str,
        /// The control plane's pod.
        pod: String,
        /// The time it had.
        limit: Duration,
    },
    /// The cluster is not what it was.
    #[error("the cluster differs from its saved state in {} places: {}; delete it", keys.len(), told(keys))]
    Differs {
        /// The keys in its store.
        keys: Vec<String>,
    },
    /// One of the two sides refused a request.
    #[error("could not {action}")]
    Request {
        /// What was asked for.
        action: String,
        /// The refusal.
        source: kube::Error,
    },
    /// The host still has what belongs to nothing in the cluster.
    #[error("the host still has {} after {:.0} s; delete the cluster", told(objects), limit.as_secs_f64())]
    Remains {
        /// The host objects.
        objects: Vec<String>,
        /// How long it was waited.
        limit: Duration,
    },
    /// Pods that stayed have no new tokens.
    #[error("the syncer did not renew the tokens in {} within {:.0} s", told(secrets), limit.as_secs_f64())]
    Tokens {
        /// The host secrets.
        secrets: Vec<String>,
        /// How long it was waited.
        limit: Duration,
    },
    /// The cluster's DNS server is not there again.
    #[error("the cluster's DNS server does not run")]
    Dns(#[source] Box<wait::Error>),
}

/// For `map_err`: a request to one of the two sides.
pub(super) fn request(action: impl Into<String>) -> impl FnOnce(kube::Error) -> ResetError {
    move |source| ResetError::Request {
        action: action.into(),
        source,
    }
}
