//! A relay with its directory and its watches, as a syncer has it.

use kube::{Client, Config};
use tokio_util::sync::CancellationToken;

use super::{
    directory::{ApiServer, Directory},
    feed::{NodesSeen, feed},
    options::RelayOptions,
    server::{Error, Relay},
    shared::SharedDirectory,
};
use crate::{config::SyncConfig, naming::NameTranslator};

/// Runs the relay of the cluster that `config` describes until `cancel`.
///
/// It listens before it knows anything of the host, so that the API server finds it whenever it
/// starts.
///
/// # Errors
///
/// Unusable certificates, sockets or host configuration.
pub async fn run(
    config: &SyncConfig,
    host: Config,
    virtual_api: Client,
    cancel: &CancellationToken,
) -> Result<(), Error> {
    let names = NameTranslator::new(&config.cluster, &config.host_namespace);
    let api = ApiServer {
        address: config.api_address,
        service: config.service.clone(),
    };
    let directory = SharedDirectory::new(Directory::new(names.clone(), api));
    let options = RelayOptions::new(config);
    let watcher = Client::try_from(host.clone())?;
    let relay = Relay::bind(
        &options,
        &config.host_namespace,
        directory.clone(),
        host,
        virtual_api,
    )
    .await?;

    let nodes = if config.sync.from_host.nodes.all {
        NodesSeen::All
    } else {
        NodesSeen::OfPods
    };
    // If the relay fails, the feed ends too; the caller's token is the caller's.
    let cancel = cancel.child_token();
    // The relay drains at the end, while the feed may stop at once: nothing is lost with it.
    let feeding = Box::pin(feed(watcher, &names, nodes, &directory, &cancel));
    let (result, ()) = tokio::join!(
        async {
            let result = relay.run(cancel.clone()).await;
            cancel.cancel();
            result
        },
        feeding
    );
    result
}
