//! A client for a host of which only the kubeconfig is known.

use kube::config::{KubeConfigOptions, Kubeconfig};

/// A host that cannot be spoken to.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientError {
    #[error("could not use the host's kubeconfig")]
    Kubeconfig(#[from] kube::config::KubeconfigError),
    #[error("could not make a client for the host")]
    Client(#[from] kube::Error),
}

/// A client on the current runtime.
pub(crate) async fn new(kubeconfig: Kubeconfig) -> Result<kube::Client, ClientError> {
    let options = KubeConfigOptions::default();
    let config = kube::Config::from_custom_kubeconfig(kubeconfig, &options).await?;
    Ok(kube::Client::try_from(config)?)
}
