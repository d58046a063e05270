//! Where a virtual API server is reached from this process.

use std::net::{IpAddr, SocketAddr};

use k8s_openapi::api::core::v1::Service;
use kube::Client;

use super::{error::Cause, forward::Forward, front::Front, names::Names};

/// The port behind the Service; every distro is told to use it.
pub(super) const API_PORT: u16 = 6443;

/// Where a virtual API server is reached. A forwarded one ends with this value.
#[derive(Debug)]
pub(super) enum Endpoint {
    /// A port of a node of the host.
    NodePort(SocketAddr),
    /// A port of this machine that leads to a node's until it is closed.
    Front(Front),
    /// A port of this machine, passed on through the host's API server.
    Forward(Forward),
}

impl Endpoint {
    /// `node` is where this process reaches the node ports of the host, if it does.
    pub(super) async fn open(
        node: Option<IpAddr>,
        service: &Service,
        names: &Names,
        host: &Client,
        api_port: u16,
    ) -> Result<Self, Cause> {
        let Some(address) = node else {
            return Forward::listen(host.clone(), names.namespace(), &names.pod(), api_port)
                .await
                .map(Self::Forward)
                .map_err(Cause::Listen);
        };
        let port = node_port(service).ok_or_else(|| Cause::NoNodePort {
            namespace: names.namespace().to_owned(),
            name: names.control_plane().to_owned(),
        })?;
        Ok(Self::NodePort(SocketAddr::new(address, port)))
    }

    /// The same with an end: what was opened through it can be closed.
    pub(super) fn fronted(self) -> Result<Self, Cause> {
        match self {
            Self::NodePort(address) => Front::open(address).map(Self::Front).map_err(Cause::Listen),
            // It ends with the runtime of whoever opened it.
            closable => Ok(closable),
        }
    }

    /// Ends all that was opened through it, as far as it has an end.
    pub(super) async fn close(&self) {
        if let Self::Front(front) = self {
            front.close().await;
        }
    }

    pub(super) fn url(&self) -> String {
        let address = match self {
            Self::NodePort(address) => *address,
            Self::Front(front) => front.address(),
            Self::Forward(forward) => forward.address(),
        };
        format!("https://{address}")
    }
}

fn node_port(service: &Service) -> Option<u16> {
    let ports = service.spec.as_ref()?.ports.as_ref()?;
    u16::try_from(ports.first()?.node_port?).ok()
}
