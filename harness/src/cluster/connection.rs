//! A way into a virtual cluster that is open, and clients that use it.

use std::time::Duration;

use kube::{
    Client, Config,
    config::{KubeConfigOptions, Kubeconfig},
};
use vcluster_syncer::client::multiplexed;

use super::{endpoint::Endpoint, error::Cause};
use crate::{host::install_provider, pki::Access, shared_client::SharedClient};

/// How long one attempt to connect may take while a server starts.
const CONNECT_ATTEMPT: Duration = Duration::from_secs(1);

/// An open way into a virtual cluster. Clients belong to a runtime, so it holds none but the last one's.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) kubeconfig: Kubeconfig,
    config: Config,
    client: SharedClient,
    /// Keeps a forwarded port open.
    endpoint: Endpoint,
}

impl Connection {
    pub(super) async fn new(
        cluster: &str,
        access: &Access,
        endpoint: Endpoint,
    ) -> Result<Self, Cause> {
        install_provider();
        let kubeconfig = access.kubeconfig(cluster, &endpoint.url());
        let options = KubeConfigOptions::default();
        let mut config = Config::from_custom_kubeconfig(kubeconfig.clone(), &options).await?;
        // The proxy of the environment has no business with a port of this machine or of a node.
        config.proxy_url = None;
        let connection = Self {
            kubeconfig,
            config,
            client: SharedClient::default(),
            endpoint,
        };
        // Whatever could be wrong with the certificates is known from here on.
        connection.try_client()?;
        Ok(connection)
    }

    /// The client of the current runtime.
    pub(super) fn client(&self) -> Client {
        self.try_client()
            .expect("the same configuration gave a client before")
    }

    /// A client for what this crate asks itself, many things at a time.
    pub(super) fn own_client(&self) -> Result<Client, Cause> {
        multiplexed(self.config.clone()).map_err(Cause::Client)
    }

    /// Ends all connections, if there is a way to.
    pub(super) async fn close(&self) {
        self.endpoint.close().await;
    }

    /// A client that reports what goes wrong instead of trying again.
    pub(super) fn impatient_client(&self) -> Result<Client, Cause> {
        let mut config = self.config.clone();
        config.default_retry = false;
        config.connect_timeout = Some(CONNECT_ATTEMPT);
        Client::try_from(config).map_err(Cause::Client)
    }

    fn try_client(&self) -> Result<Client, Cause> {
        let client = &self.client;
        client.get(|| Client::try_from(self.config.clone()).map_err(Cause::Client))
    }
}
