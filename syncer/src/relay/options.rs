//! How a relay is set up.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use crate::config::SyncConfig;

/// How one relay is set up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RelayOptions {
    /// The unix socket to listen on.
    pub socket: PathBuf,
    /// The address to listen on besides, with TLS and client certificates, for an API server that
    /// shares no folder with the relay.
    pub tcp: Option<SocketAddr>,
    /// The certificate of the authority that signs the nodes' serving certificates.
    pub authority: PathBuf,
    /// The key of that authority.
    pub authority_key: PathBuf,
    /// The API server as a client of kubelets.
    pub clients: Clients,
    /// Who asks for `metrics.k8s.io`, if it is served.
    pub metrics_api: Option<Clients>,
    /// Nodes give metrics, which only a host that trusts the syncer lets it read.
    pub metrics: bool,
    /// What is too much or too long.
    pub limits: Limits,
}

/// Whose requests are answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clients {
    /// The authority that signed their certificates.
    pub authority: PathBuf,
    /// The common names that these may have.
    pub names: Vec<String>,
}

/// What is too much or too long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Connections from the API server at once.
    pub connections: usize,
    /// Bytes of the head of a `CONNECT` request.
    pub connect_head: usize,
    /// Bytes of the head of a request to a kubelet; commands travel in it.
    pub kubelet_head: usize,
    /// For a request's head and for a TLS handshake.
    pub handshake: Duration,
    /// For a connection that waits for its next request; the API server's patience is 90 s.
    pub keep_alive: Duration,
    /// For connecting to a pod or service.
    pub connect: Duration,
    /// For the host's API to answer.
    pub host_answer: Duration,
    /// For news from the host before something counts as unknown.
    pub news: Duration,
    /// For a stream on which nothing moves; the kubelet's own limit.
    pub idle: Duration,
    /// For a stream on which nothing moves and one side has said its last.
    pub half_closed: Duration,
    /// For streams to end by themselves at shutdown.
    pub drain: Duration,
}

impl RelayOptions {
    /// The usual set-up: kubeadm's files in the cluster's folder of certificates.
    pub fn new(config: &SyncConfig) -> Self {
        let own = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        Self {
            socket: config.relay_socket.clone(),
            tcp: None,
            authority: config.pki.join("ca.crt"),
            authority_key: config.pki.join("ca.key"),
            clients: Clients {
                authority: config.pki.join("ca.crt"),
                names: own(CLIENTS),
            },
            metrics_api: config
                .sync
                .from_host
                .metrics_server
                .enabled
                .then(|| Clients {
                    authority: config.pki.join("front-proxy-ca.crt"),
                    names: own(FRONT_PROXIES),
                }),
            metrics: config.sync.from_host.nodes.metrics.enabled,
            limits: Limits::default(),
        }
    }
}

/// What they call it when it speaks for a client.
const FRONT_PROXIES: &[&str] = &["front-proxy-client", "system:auth-proxy"];

/// What kubeadm (and this project), k0s and k3s call the API server when it talks to kubelets.
const CLIENTS: &[&str] = &[
    "kube-apiserver-kubelet-client",
    "apiserver-kubelet-client",
    "system:apiserver",
];

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 1024,
            connect_head: 8 * 1024,
            kubelet_head: 128 * 1024,
            handshake: Duration::from_secs(10),
            keep_alive: Duration::from_mins(2),
            connect: Duration::from_secs(5),
            host_answer: Duration::from_mins(1),
            news: Duration::from_secs(1),
            idle: Duration::from_hours(4),
            half_closed: Duration::from_mins(5),
            drain: Duration::from_secs(3),
        }
    }
}
