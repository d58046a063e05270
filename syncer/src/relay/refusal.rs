//! Why the relay does not do what it was asked, in words that the tenant may read.

use http::StatusCode;

/// An answer other than yes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The request makes no sense.
    #[error("{0}")]
    Malformed(String),
    /// No address of this cluster, as far as the host knows.
    #[error("{target} is not an address of this cluster")]
    Foreign {
        /// What was asked for.
        target: String,
    },
    /// No address that anybody reaches through a relay.
    #[error("{target} is never reached through the API server")]
    Never {
        /// What was asked for.
        target: String,
    },
    /// An address of this cluster, but not a port that it offers.
    #[error("port {port} of {name} is not one that it declares")]
    Port {
        /// Whose port.
        name: String,
        /// The port.
        port: u16,
    },
    /// A service whose endpoints are none of this cluster's pods.
    #[error("service {name} has no endpoint that is a pod of this cluster")]
    NoOwnEndpoint {
        /// The service's virtual name.
        name: String,
    },
    /// The pod is not here.
    #[error("pod {pod} does not exist")]
    NoPod {
        /// Its virtual name.
        pod: String,
    },
    /// Another pod has the name now.
    #[error("pod {pod} with uid {uid} does not exist")]
    OtherPod {
        /// Its virtual name.
        pod: String,
        /// The uid asked for.
        uid: String,
    },
    /// No such path on a kubelet, or none that is for tenants.
    #[error("{path} is not served by the nodes of this cluster")]
    NoPath {
        /// The path.
        path: String,
    },
    /// The cluster was made without them.
    #[error("the nodes of this cluster give no metrics: `fromHost.nodes.metrics` is not enabled")]
    NoMetrics,
    /// The path takes another method.
    #[error("the method is not allowed here")]
    Method,
    /// There are too many connections.
    #[error("too many connections at once")]
    Busy,
}

impl Refusal {
    /// The status that says so.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Malformed(_) => StatusCode::BAD_REQUEST,
            Self::Foreign { .. }
            | Self::Never { .. }
            | Self::Port { .. }
            | Self::NoOwnEndpoint { .. }
            | Self::NoMetrics => StatusCode::FORBIDDEN,
            Self::NoPod { .. } | Self::OtherPod { .. } | Self::NoPath { .. } => {
                StatusCode::NOT_FOUND
            }
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::Busy => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// May the answer be another one as soon as the host's news arrive?
    #[must_use]
    pub fn may_pass(&self) -> bool {
        matches!(
            self,
            Self::Foreign { .. }
                | Self::NoPod { .. }
                | Self::OtherPod { .. }
                | Self::NoOwnEndpoint { .. }
                | Self::Port { .. }
        )
    }
}
