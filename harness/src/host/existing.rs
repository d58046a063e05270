//! Hosts that somebody else runs: a kubeconfig file and a context that were named, nothing else. The
//! cluster has to opt in, so that no test meets a cluster by mistake.

use std::{net::IpAddr, path::Path};

use k8s_openapi::api::core::v1::{ConfigMap, Node as KubernetesNode};
use kube::{Api, api::ListParams, config::Kubeconfig};

use super::{
    Error, HostCluster,
    cluster::{HostFacts, client},
    image::ImageStore,
    kubeconfig::{failed, only},
};

/// A config map of this name in `kube-system` lets virtual clusters in.
pub const OPT_IN: &str = "vcluster-test-host";

/// Uses the cluster of `context`, or of the current context, in the file at `path`.
///
/// # Errors
/// The file is unreadable or has no such context, the cluster does not answer, or it has not opted in.
pub(super) async fn open(path: &Path, context: Option<&str>) -> Result<HostCluster, Error> {
    let origin = path.display().to_string();
    let kubeconfig = Kubeconfig::read_from(path).map_err(failed(origin.clone()))?;
    let kubeconfig = only(kubeconfig, context, &origin)?;
    let name = kubeconfig.current_context.clone().unwrap_or_default();
    let client = client(&kubeconfig, &name).await?;
    let opted_in = Api::<ConfigMap>::namespaced(client.clone(), "kube-system")
        .get_opt(OPT_IN)
        .await
        .map_err(Error::api(&name, "ask whether it has opted in to tests"))?;
    if opted_in.is_none() {
        return Err(Error::NotOptedIn {
            command: opt_in_command(&origin, &name),
            host: name,
        });
    }
    let nodes = Api::<KubernetesNode>::all(client)
        .list(&ListParams::default())
        .await
        .map_err(Error::api(&name, "list nodes"))?;
    Ok(HostCluster::new(HostFacts {
        name,
        kubeconfig,
        // Its nodes may be anywhere: port-forward works wherever its API server does.
        endpoint: None,
        node_addresses: nodes.items.iter().flat_map(internal_addresses).collect(),
        images: ImageStore::Elsewhere,
    }))
}

fn opt_in_command(path: &str, context: &str) -> String {
    format!(
        "kubectl --kubeconfig '{path}' --context '{context}' create configmap {OPT_IN} \
         --namespace kube-system"
    )
}

fn internal_addresses(node: &KubernetesNode) -> Vec<IpAddr> {
    let addresses = node
        .status
        .iter()
        .flat_map(|status| status.addresses.iter());
    addresses
        .flatten()
        .filter(|address| address.type_ == "InternalIP")
        .filter_map(|address| address.address.parse().ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_missing_file_is_named() {
        let error = open(Path::new("/nowhere/config"), None).await.unwrap_err();
        assert!(error.to_string().contains("/nowhere/config"), "{error}");
    }

    #[test]
    fn the_way_to_opt_in_can_be_pasted() {
        assert_eq!(
            opt_in_command("/home/ada/my config", "prod"),
            "kubectl --kubeconfig '/home/ada/my config' --context 'prod' create configmap \
             vcluster-test-host --namespace kube-system"
        );
    }
}
