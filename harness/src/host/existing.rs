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
use crate::version::KubernetesVersion;

/// A config map of this name in `kube-system` lets virtual clusters in.
pub const OPT_IN: &str = "vcluster-test-host";

/// The oldest that can be a host. Virtual clusters are made, and their objects are synced, by server-side apply,
/// which every API server has since this version; nothing else that a host has to have is younger.
const OLDEST: KubernetesVersion = KubernetesVersion {
    major: 1,
    minor: 22,
    patch: 0,
};

/// Uses the cluster of `context`, or of the current context, in the file at `path`.
///
/// # Errors
/// The file is unreadable or has no such context, the cluster does not answer, it has not opted in, or it is too
/// old.
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
    let says = client.apiserver_version().await;
    let says = says.map_err(Error::api(&name, "ask for its version"))?;
    check_age(&name, &says.git_version)?;
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

/// Who builds Kubernetes may call it as they like: a version that nobody understands is believed to be new.
fn check_age(host: &str, says: &str) -> Result<(), Error> {
    let is_too_old = KubernetesVersion::of_build(says).is_some_and(|version| version < OLDEST);
    if is_too_old {
        return Err(Error::TooOld {
            host: host.to_owned(),
            version: says.trim_start_matches('v').to_owned(),
            oldest: OLDEST.minor_name(),
        });
    }
    Ok(())
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
    use rstest::rstest;

    use super::*;

    #[tokio::test]
    async fn a_missing_file_is_named() {
        let error = open(Path::new("/nowhere/config"), None).await.unwrap_err();
        assert!(error.to_string().contains("/nowhere/config"), "{error}");
    }

    #[rstest]
    #[case::just_old_enough("v1.22.0", true)]
    #[case::of_a_provider("v1.30.4-eks-a737599", true)]
    #[case::unreadable("master", true)]
    #[case::too_old("v1.21.14", false)]
    #[case::too_old_of_a_provider("v1.19.7-gke.1302", false)]
    fn a_host_has_to_apply_objects(#[case] says: &str, #[case] will_do: bool) {
        assert_eq!(check_age("prod", says).is_ok(), will_do);
    }

    #[test]
    fn a_host_that_is_too_old_is_told_what_would_do() {
        let words = check_age("prod", "v1.21.14").unwrap_err().to_string();
        assert!(words.contains("prod runs Kubernetes 1.21.14"), "{words}");
        assert!(words.ends_with("1.22 and newer"), "{words}");
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
