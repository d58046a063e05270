//! A relay as a syncer has it.

use kube::{Client, Config};
use tokio_util::sync::CancellationToken;

use super::{
    options::RelayOptions,
    server::{Error, Relay},
    shared::SharedDirectory,
};
use crate::config::SyncConfig;

/// Runs the relay of the cluster that `config` describes until `cancel`. It reaches what
/// `directory` knows, which may be nothing yet: the API server finds it whenever it starts.
///
/// # Errors
///
/// Unusable certificates, sockets or host configuration.
pub async fn run(
    config: &SyncConfig,
    directory: SharedDirectory,
    host: Config,
    virtual_api: Client,
    cancel: &CancellationToken,
) -> Result<(), Error> {
    let options = RelayOptions::new(config);
    let namespace = &config.host_namespace;
    let relay = Relay::bind(&options, namespace, directory, host, virtual_api).await?;
    relay.run(cancel.clone()).await
}
