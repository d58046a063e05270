//! Where on the host a pod may run, beside what it asks for itself.

use k8s_openapi::api::core::v1::{Node, Pod, PodSpec};

use super::node_of;
use crate::{
    config::{Shown, Sync},
    resource::{TranslateError, Translation},
    resources::node,
};

/// What a pod names that names none.
const USUAL_SCHEDULER: &str = "default-scheduler";

/// The scheduler that a pod names if it is not one of the host's that the tenant may use: then one of
/// the tenant's binds the pod, as in any cluster.
pub(super) fn own_scheduler<'a>(pod: &'a Pod, sync: &Sync) -> Option<&'a str> {
    let name = pod.spec.as_ref()?.scheduler_name.as_deref()?;
    let is_hosts = ["", USUAL_SCHEDULER].contains(&name)
        || sync
            .to_host
            .pods
            .scheduler_names
            .iter()
            .any(|it| it == name);
    (!is_hosts).then_some(name)
}

/// A pod that one of the tenant's schedulers has yet to bind.
pub(super) fn unbound_by(scheduler: &str) -> TranslateError {
    TranslateError::Unsupported {
        field: "spec.schedulerName".to_owned(),
        problem: format!(
            "names `{scheduler}`, which is none of the host's schedulers that pods may ask for \
             (toHost.pods.schedulerNames): it waits until a scheduler in this cluster binds it"
        ),
    }
}

/// The host's way to run containers, where the tenant sees the host's. Without it the pod would run with
/// less between it and its node than it asks for.
fn check_runtime_class(spec: &PodSpec, sync: &Sync) -> Result<(), TranslateError> {
    let class = spec.runtime_class_name.as_deref().unwrap_or_default();
    if class.is_empty() || sync.from_host.runtime_classes.enabled {
        return Ok(());
    }
    Err(TranslateError::Unsupported {
        field: "spec.runtimeClassName".to_owned(),
        problem: format!(
            "names `{class}`, and this cluster has none of the host's classes; \
             fromHost.runtimeClasses shows them"
        ),
    })
}

/// Keeps a pod on the nodes that the tenant may use, and lets it tolerate what all pods do.
pub(super) fn to_host(
    spec: &mut PodSpec,
    pod: &Pod,
    cx: &Translation,
) -> Result<(), TranslateError> {
    let sync = &cx.facts.sync;
    check_runtime_class(spec, sync)?;
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
    let has_own_scheduler = own_scheduler(pod, sync).is_some();
    if sync.virtual_scheduler.enabled || has_own_scheduler {
        spec.scheduler_name = None;
        // All that was for a scheduler has been said and done. A kubelet would judge some of it
        // again, by the host's labels of its node.
        spec.node_selector = None;
        spec.affinity = None;
        spec.topology_spread_constraints = None;
    }
    if let Some(labels) = labels
        && !sync.virtual_scheduler.enabled
    {
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
    use rstest::rstest;

    use super::*;
    use crate::{
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

    #[rstest]
    #[case::the_usual_one("default-scheduler", "{}", true)]
    #[case::none("", "{}", true)]
    #[case::one_that_may_be_used("volcano", "{schedulerNames: [volcano]}", true)]
    #[case::one_of_the_tenants("mine", "{schedulerNames: [volcano]}", false)]
    fn a_scheduler_is_the_hosts_or_the_tenants(
        #[case] name: &str,
        #[case] pods: &str,
        #[case] is_hosts: bool,
    ) {
        let cx = in_cluster_with(&format!("sync: {{toHost: {{pods: {pods}}}}}"));
        let mut pod = on("worker");
        let spec = pod.spec.as_mut().unwrap();
        spec.scheduler_name = Some(name.to_owned());
        spec.node_selector = Some([("zone".to_owned(), "a".to_owned())].into());
        assert_eq!(own_scheduler(&pod, &cx.facts.sync).is_none(), is_hosts);
        let host = translate::to_host(&pod, &cx).unwrap().spec.unwrap();
        assert_eq!(host.scheduler_name.as_deref(), is_hosts.then_some(name));
        assert_eq!(host.node_selector.is_some(), is_hosts);
        assert_eq!(host.node_name.as_deref(), Some("worker"));
    }

    #[test]
    fn a_runtime_class_is_one_of_the_hosts_that_the_tenant_sees() {
        let mut pod = pod("web");
        pod.spec.as_mut().unwrap().runtime_class_name = Some("gvisor".to_owned());
        let error = translate::to_host(&pod, &in_cluster_with("{}")).unwrap_err();
        assert_eq!(
            error.to_string(),
            "spec.runtimeClassName names `gvisor`, and this cluster has none of the host's classes; \
             fromHost.runtimeClasses shows them"
        );
        let shown = in_cluster_with("sync: {fromHost: {runtimeClasses: {enabled: true}}}");
        let host = translate::to_host(&pod, &shown).unwrap().spec.unwrap();
        assert_eq!(host.runtime_class_name.as_deref(), Some("gvisor"));
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
