//! A host: the real cluster in which virtual clusters live. A handle; nothing ends when it is dropped.

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
};

use kube::{
    Client, Config,
    config::{KubeConfigOptions, Kubeconfig},
};
use tokio::sync::OnceCell;
use vcluster_syncer::client::multiplexed;

use super::{
    Error,
    image::{Content, ImageStore, Wanted},
    kubeconfig::failed,
    service_range::discover,
};
use crate::{asset::Image, shared_client::SharedClient, slice::ServiceRanges};

/// A host that is up. Cheap to clone.
#[derive(Debug, Clone)]
pub struct HostCluster {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    facts: HostFacts,
    service_ranges: OnceCell<ServiceRanges>,
    client: SharedClient,
}

/// What the maker or finder of a host knows of it.
#[derive(Debug)]
pub(super) struct HostFacts {
    pub(super) name: String,
    pub(super) kubeconfig: Kubeconfig,
    pub(super) endpoint: Option<IpAddr>,
    pub(super) node_addresses: Vec<IpAddr>,
    pub(super) images: ImageStore,
}

impl HostCluster {
    pub(super) fn new(facts: HostFacts) -> Self {
        Self {
            inner: Arc::new(Inner {
                facts,
                service_ranges: OnceCell::new(),
                client: SharedClient::default(),
            }),
        }
    }

    /// Its name: the kind cluster's, or the context's.
    pub fn name(&self) -> &str {
        &self.inner.facts.name
    }

    /// A kubeconfig with this host alone in it.
    pub fn kubeconfig(&self) -> &Kubeconfig {
        &self.inner.facts.kubeconfig
    }

    /// A client, bound to the current runtime, on which all share it.
    ///
    /// # Errors
    /// The kubeconfig cannot be used.
    pub async fn client(&self) -> Result<Client, Error> {
        let config = self.config().await?;
        let made = self.client_of(&config);
        made.map_err(Error::api(self.name(), "make a client"))
    }

    /// The same for whoever has its configuration.
    pub(crate) fn client_of(&self, config: &Config) -> Result<Client, kube::Error> {
        let client = &self.inner.client;
        client.get(|| multiplexed(config.clone()))
    }

    /// What a client of this host is made from, for a client of another make.
    pub(crate) async fn config(&self) -> Result<Config, Error> {
        config(self.kubeconfig(), self.name()).await
    }

    /// Where this process reaches the node ports of the host; `None` means through port-forward only.
    pub fn endpoint_address(&self) -> Option<IpAddr> {
        self.inner.facts.endpoint
    }

    /// The addresses of its nodes.
    pub fn node_addresses(&self) -> &[IpAddr] {
        &self.inner.facts.node_addresses
    }

    /// Addresses that a certificate has to name so that a server behind a node port can be reached.
    pub fn addresses_for_sans(&self) -> Vec<IpAddr> {
        let mut addresses = vec![IpAddr::from(Ipv4Addr::LOCALHOST)];
        addresses.extend(self.endpoint_address());
        addresses.extend(self.node_addresses());
        addresses.sort_unstable();
        addresses.dedup();
        addresses
    }

    /// The ranges that it allots service addresses from; asked once, then remembered.
    ///
    /// # Errors
    /// The host does not answer, or gives no way to find out.
    pub async fn service_ranges(&self) -> Result<ServiceRanges, Error> {
        let find = async || discover(&self.client().await?, self.name()).await;
        self.inner
            .service_ranges
            .get_or_try_init(find)
            .await
            .copied()
    }

    /// Makes sure that every node has `images`, loading those that it lacks, and looks afterwards.
    ///
    /// # Errors
    /// An image is nowhere to be had, could not be loaded, or is not there after all.
    pub async fn load(&self, images: &[Image]) -> Result<(), Error> {
        let wanted: Vec<Wanted<'_>> = images
            .iter()
            .map(|image| Wanted {
                reference: &image.reference,
                content: match &image.archive {
                    Some(path) => Content::Archive(path),
                    None => Content::Named,
                },
            })
            .collect();
        self.ensure(&wanted).await
    }

    /// Makes sure that every node has what the container engine has under `reference` now: one that was
    /// built anew under the same name is loaded anew.
    ///
    /// # Errors
    /// The engine does not have it, or it could not be loaded. A host that is not in the engine has to
    /// have it already.
    pub async fn load_from_engine(&self, reference: &str) -> Result<(), Error> {
        let content = Content::Engine;
        self.ensure(&[Wanted { reference, content }]).await
    }

    async fn ensure(&self, images: &[Wanted<'_>]) -> Result<(), Error> {
        let store = &self.inner.facts.images;
        store
            .ensure(&self.client().await?, self.name(), images)
            .await
    }

    /// Is it still there? After a failed request this tells whether somebody deleted or stopped it.
    ///
    /// # Errors
    /// Its container is gone or not running.
    pub async fn check(&self) -> Result<(), Error> {
        self.inner.facts.images.check().await
    }
}

/// A client for `kubeconfig` that uses nothing else of this machine.
pub(crate) async fn client(kubeconfig: &Kubeconfig, host: &str) -> Result<Client, Error> {
    let config = config(kubeconfig, host).await?;
    multiplexed(config).map_err(Error::api(host, "make a client"))
}

async fn config(kubeconfig: &Kubeconfig, host: &str) -> Result<Config, Error> {
    super::install_provider();
    let mut config =
        Config::from_custom_kubeconfig(kubeconfig.clone(), &KubeConfigOptions::default())
            .await
            .map_err(failed(format!("host {host}")))?;
    let named_proxy = kubeconfig
        .clusters
        .iter()
        .filter_map(|cluster| cluster.cluster.as_ref())
        .any(|cluster| cluster.proxy_url.is_some());
    if !named_proxy {
        // Else the proxy of the environment would be asked for a port of this machine.
        config.proxy_url = None;
    }
    Ok(config)
}
