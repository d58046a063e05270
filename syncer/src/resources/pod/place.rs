//! Where on the host a pod may run, beside what it asks for itself.

use k8s_openapi::api::core::v1::{Node, Pod, PodSpec};

use super::node_of;
use crate::{
    config::Shown,
    resource::{TranslateError, Translation},
    resources::node,
};

/// Keeps a pod on the nodes that the tenant may use, and lets it tolerate what all pods do.
pub(super) fn to_host(
    spec: &mut PodSpec,
    pod: &Pod,
    cx: &Translation,
) -> Result<(), TranslateError> {
    let sync = &cx.facts.sync;
    let labels = match sync.from_host.nodes.shown() {
        Shown::Labelled(labels) => Some(labels),
        Shown::MadeUp | Shown::Used | Shown::All => None,
    };
    let may_use = |node: &Node| labels.is_none_or(|labels| node::has_labels(node, labels));
    let is_limited = labels.is_some() || sync.virtual_scheduler.enabled;
    // A pod that names its node passes by the host's scheduler, and so by every affinity.
    if is_limited
        && node_of(pod).is_some()
        && !cx.around.chosen_node.as_deref().is_some_and(may_use)
    {
        return Err(TranslateError::Unsupported {
            field: "spec.nodeName".to_owned(),
            problem: "names a node that this cluster does not have".to_owned(),
        });
    }
    if sync.virtual_scheduler.enabled {
        // All that was for a scheduler has been said and done. A kubelet would judge some of it
        // again, by the host's labels of its node.
        spec.node_selector = None;
        spec.affinity = None;
        spec.topology_spread_constraints = None;
    } else if let Some(labels) = labels {
        node::require(spec, labels);
    }
    let enforced = sync.to_host.pods.enforced_tolerations();
    if !enforced.is_empty() {
        let tolerations = spec.tolerations.get_or_insert_default();
        for toleration in enforced {
            if !tolerations.contains(&toleration) {
                tolerations.push(toleration);
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use kube::ResourceExt;

    use super::*;
    use crate::{
        config::Sync,
        resource::tests::translation,
        resources::pod::translate::{self, tests::pod},
    };

    fn in_cluster_with(sync: &str) -> Translation {
        let mut cx = translation();
        Arc::make_mut(&mut cx.facts).sync = Sync::from_yaml(sync).unwrap();
        cx
    }

    fn on(node: &str) -> Pod {
        let mut pod = pod("web");
        pod.spec.as_mut().unwrap().node_name = Some(node.to_owned());
        pod
    }

    #[test]
    fn a_pod_names_only_nodes_that_the_tenant_has() {
        let mut cx =
            in_cluster_with("sync: {fromHost: {nodes: {selector: {labels: {disk: fast}}}}}");
        assert!(translate::to_host(&pod("web"), &cx).is_ok());
        let error = translate::to_host(&on("worker"), &cx).unwrap_err();
        let expected = "spec.nodeName names a node that this cluster does not have";
        assert_eq!(error.to_string(), expected);

        let mut node = Node::default();
        cx.around.chosen_node = Some(Arc::new(node.clone()));
        assert!(translate::to_host(&on("worker"), &cx).is_err());
        node.labels_mut()
            .insert("disk".to_owned(), "fast".to_owned());
        cx.around.chosen_node = Some(Arc::new(node));
        let host = translate::to_host(&on("worker"), &cx)
            .unwrap()
            .spec
            .unwrap();
        assert_eq!(host.node_name.as_deref(), Some("worker"));
        assert!(host.affinity.unwrap().node_affinity.is_some());
    }

    #[test]
    fn what_a_scheduler_of_the_tenant_has_heeded_stays_behind() {
        let mut cx = in_cluster_with("sync: {virtualScheduler: {enabled: true}}");
        let mut pod = on("worker");
        let labels = [("zone".to_owned(), "a".to_owned())];
        pod.spec.as_mut().unwrap().node_selector = Some(labels.clone().into());
        assert!(translate::to_host(&pod, &cx).is_err());
        cx.around.chosen_node = Some(Arc::default());
        let host = translate::to_host(&pod, &cx).unwrap().spec.unwrap();
        assert_eq!(host.node_name.as_deref(), Some("worker"));
        assert_eq!(host.node_selector, None);
    }

    #[test]
    fn a_pod_tolerates_what_all_pods_do() {
        let cx = in_cluster_with("sync: {toHost: {pods: {enforceTolerations: [gpu, team=red]}}}");
        let host = translate::to_host(&pod("web"), &cx).unwrap();
        let tolerations = host.spec.unwrap().tolerations.unwrap();
        let keys: Vec<_> = tolerations.iter().map(|it| it.key.as_deref()).collect();
        assert_eq!(keys, [Some("gpu"), Some("team")]);
    }
}
