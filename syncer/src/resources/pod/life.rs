//! The life of a pair of pods: birth, binding, and a death that both sides take part in.
//!
//! There is no kubelet in the virtual cluster, so nobody else finishes a deletion there: a virtual
//! pod keeps its grace period until the host pod is really gone, and is then removed at once.

use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;

use super::{Pods, node_of, place, update};
use crate::{
    plan::{self, Step, Twins},
    resource::{ResourceSyncer, TranslateError, Translation},
};

/// What a pod has when it says nothing, in seconds.
const USUAL_GRACE: i64 = 30;

/// What to do about a pair of pods.
pub(super) fn plan(twins: &Twins<Pod>, cx: &Translation) -> Result<Vec<Step<Pod>>, TranslateError> {
    match (&twins.virtual_object, &twins.host_object) {
        (Some(object), None) => alone(object, cx),
        (Some(object), Some(host)) => both(object, host, cx),
        (None, Some(host)) => Ok(orphan(host)),
        (None, None) => Ok(Vec::new()),
    }
}

/// A pod whose twin is not there: it is born, unless it has lived already.
fn alone(object: &Pod, cx: &Translation) -> Result<Vec<Step<Pod>>, TranslateError> {
    if plan::is_deleting(object) || has_started(object) {
        // A started pod is never made anew; its controller makes another one.
        return Ok(vec![delete_virtual(object, 0)]);
    }
    if !Pods::selects(object, cx) {
        return Ok(Vec::new());
    }
    if node_of(object).is_none() {
        // Its being bound wakes us.
        if cx.facts.sync.virtual_scheduler.enabled {
            return Ok(Vec::new());
        }
        if let Some(scheduler) = place::own_scheduler(object, &cx.facts.sync) {
            return Err(place::unbound_by(scheduler));
        }
    }
    if !cx.around.pending.is_empty() {
        return Ok(vec![Step::Await {
            what: "config maps and secrets on the host",
            millis: 2000,
        }]);
    }
    Ok(vec![Step::CreateHost(Box::new(Pods::to_host(object, cx)?))])
}

fn both(object: &Arc<Pod>, host: &Pod, cx: &Translation) -> Result<Vec<Step<Pod>>, TranslateError> {
    if !plan::is_twin(object.as_ref(), host) {
        // The virtual pod under this name is another one. The old one must be gone before the new
        // one comes, and the tenant has waited for it or said not to.
        return Ok(orphan(host));
    }
    let mut steps = Vec::new();
    match (plan::is_deleting(object.as_ref()), plan::is_deleting(host)) {
        (true, false) => steps.push(delete_host(
            host,
            object.metadata.deletion_grace_period_seconds,
        )),
        (false, true) => {
            steps.push(delete_virtual(object, grace_of(host)));
        }
        (true, true) => steps.extend(shorter_grace(object, host)),
        (false, false) => steps.extend(bind(object, host, cx)?),
    }
    // Also while it is going: the tenant sees how its containers end.
    if !steps
        .iter()
        .any(|step| matches!(step, Step::DeleteVirtual { .. }))
        && let Some(to) = Pods::to_virtual(host, object, cx).filter(|to| to != object.as_ref())
    {
        let patch = Step::PatchVirtual {
            from: Arc::clone(object),
            to: Box::new(to),
        };
        // Before a wait, since that ends the turn.
        let at = steps
            .iter()
            .position(|step| matches!(step, Step::Await { .. }));
        steps.insert(at.unwrap_or(steps.len()), patch);
    }
    Ok(steps)
}

/// The virtual pod went without waiting for the host, so the tenant takes it for gone.
fn orphan(host: &Pod) -> Vec<Step<Pod>> {
    if plan::is_deleting(host) && grace_of(host) == 0 {
        return Vec::new();
    }
    vec![delete_host(host, Some(0))]
}

/// The virtual pod follows the host's scheduler; after that, the host pod follows the tenant.
fn bind(object: &Pod, host: &Pod, cx: &Translation) -> Result<Vec<Step<Pod>>, TranslateError> {
    let mut steps = Vec::new();
    match (node_of(object), node_of(host)) {
        (Some(chosen), Some(real)) if chosen != real => return Ok(vec![delete_virtual(object, 0)]),
        // A pod on a node that is not there would be collected as an orphan.
        (None, Some(_)) if !cx.around.has_virtual_node => steps.push(Step::Await {
            what: "the node in the virtual cluster",
            millis: 1000,
        }),
        (None, Some(node)) => steps.push(Step::Bind {
            node: node.to_owned(),
            uid: object.uid().unwrap_or_default(),
        }),
        _ => {}
    }
    let mut updates = update::steps(object, host, cx)?;
    updates.append(&mut steps);
    Ok(updates)
}

/// The shorter of two grace periods counts, whoever asked for it.
fn shorter_grace(object: &Pod, host: &Pod) -> Option<Step<Pod>> {
    let (own, hosts) = (grace_of(object), grace_of(host));
    match own.cmp(&hosts) {
        std::cmp::Ordering::Less => Some(delete_host(host, Some(own))),
        std::cmp::Ordering::Equal => None,
        // Nought would remove the virtual pod before the host's is gone.
        std::cmp::Ordering::Greater if hosts == 0 => None,
        std::cmp::Ordering::Greater => Some(delete_virtual(object, hosts)),
    }
}

fn grace_of(pod: &Pod) -> i64 {
    pod.metadata
        .deletion_grace_period_seconds
        .unwrap_or(USUAL_GRACE)
}

fn has_started(pod: &Pod) -> bool {
    pod.status
        .as_ref()
        .is_some_and(|status| status.start_time.is_some())
}

fn delete_host(host: &Pod, grace: Option<i64>) -> Step<Pod> {
    Step::DeleteHost {
        uid: host.uid().unwrap_or_default(),
        grace,
    }
}

fn delete_virtual(object: &Pod, grace: i64) -> Step<Pod> {
    Step::DeleteVirtual {
        uid: object.uid().unwrap_or_default(),
        grace,
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::{
        api::core::v1::PodStatus, apimachinery::pkg::apis::meta::v1::Time, jiff::Timestamp,
    };

    use super::*;
    use crate::{
        object_key::ObjectKey,
        resource::{Kind, Reference, tests::translation},
        resources::pod::translate::{self, tests::pod},
    };

    fn twin(object: &Pod) -> Pod {
        let mut host = translate::to_host(object, &translation()).unwrap();
        host.metadata.uid = Some("uid-on-host".to_owned());
        host
    }

    #[test]
    fn a_pod_waits_for_the_tenants_scheduler() {
        let mut cx = translation();
        Arc::make_mut(&mut cx.facts).sync.virtual_scheduler.enabled = true;
        cx.around.chosen_node = Some(Arc::default());
        assert!(decide_in(&cx, Some(pod("web")), None).is_empty());
        let bound = decide_in(&cx, Some(on("worker", pod("web"))), None);
        assert_eq!(bound.len(), 1, "{bound:?}");
    }

    fn going(mut pod: Pod, grace: i64) -> Pod {
        pod.metadata.deletion_timestamp = Some(Time(Timestamp::UNIX_EPOCH));
        pod.metadata.deletion_grace_period_seconds = Some(grace);
        pod
    }

    fn started(mut pod: Pod) -> Pod {
        pod.status = Some(PodStatus {
            start_time: Some(Time(Timestamp::UNIX_EPOCH)),
            ..PodStatus::default()
        });
        pod
    }

    fn on(node: &str, mut pod: Pod) -> Pod {
        pod.spec.as_mut().unwrap().node_name = Some(node.to_owned());
        pod
    }

    /// The steps, in few words.
    fn decide_in(cx: &Translation, object: Option<Pod>, host: Option<Pod>) -> Vec<String> {
        let twins = Twins {
            key: ObjectKey::namespaced("default", "web"),
            virtual_object: object.map(Arc::new),
            host_object: host.map(Arc::new),
        };
        let steps = plan(&twins, cx).unwrap();
        steps
            .iter()
            .map(|step| match step {
                Step::CreateHost(_) => "create".to_owned(),
                Step::DeleteHost { uid, grace } => {
                    assert_eq!(uid, "uid-on-host");
                    format!("delete host {grace:?}")
                }
                Step::DeleteVirtual { uid, grace } => {
                    assert_eq!(uid, "uid-of-web");
                    format!("delete virtual {grace}")
                }
                Step::Bind { node, uid } => {
                    assert_eq!(uid, "uid-of-web");
                    format!("bind {node}")
                }
                Step::PatchVirtual { .. } => "status".to_owned(),
                Step::Await { .. } => "wait".to_owned(),
                other => panic!("{other:?}"),
            })
            .collect()
    }

    fn decide(object: Option<Pod>, host: Option<Pod>) -> Vec<String> {
        decide_in(&translation(), object, host)
    }

    #[test]
    fn a_pod_is_born_once() {
        let pod = pod("web");
        assert_eq!(decide(Some(pod.clone()), None), ["create"]);
        assert!(decide(Some(pod.clone()), Some(twin(&pod))).is_empty());
    }

    #[test]
    fn what_it_needs_goes_first() {
        let mut cx = translation();
        cx.around.pending = vec![Reference {
            kind: Kind::Secret,
            key: ObjectKey::namespaced("default", "key"),
        }];
        assert_eq!(decide_in(&cx, Some(pod("web")), None), ["wait"]);
    }

    #[test]
    fn a_started_pod_is_never_made_anew() {
        assert_eq!(
            decide(Some(started(pod("web"))), None),
            ["delete virtual 0"]
        );
        assert_eq!(
            decide(Some(going(pod("web"), 30)), None),
            ["delete virtual 0"]
        );
    }

    #[test]
    fn a_deletion_goes_to_the_host_with_its_grace() {
        let pod = pod("web");
        let host = twin(&pod);
        assert_eq!(
            decide(Some(going(pod, 7)), Some(host)),
            ["delete host Some(7)"]
        );
    }

    #[test]
    fn a_deletion_on_the_host_comes_back_with_its_grace() {
        let pod = pod("web");
        let host = going(twin(&pod), 7);
        assert_eq!(decide(Some(pod), Some(host)), ["delete virtual 7"]);
    }

    #[test]
    fn the_shorter_grace_counts() {
        let pod = pod("web");
        let host = twin(&pod);
        let decide = |own, hosts| {
            decide(
                Some(going(pod.clone(), own)),
                Some(going(host.clone(), hosts)),
            )
        };
        assert_eq!(decide(3, 30), ["delete host Some(3)"]);
        assert_eq!(decide(30, 3), ["delete virtual 3"]);
        assert!(decide(30, 30).is_empty());
        assert!(
            decide(30, 0).is_empty(),
            "the virtual pod goes when the host's is gone"
        );
    }

    #[test]
    fn the_tenant_sees_how_containers_end() {
        let pod = pod("web");
        let mut host = going(twin(&pod), 30);
        host.status = Some(PodStatus {
            phase: Some("Failed".to_owned()),
            ..PodStatus::default()
        });
        assert_eq!(decide(Some(going(pod, 30)), Some(host)), ["status"]);
    }

    #[test]
    fn a_host_pod_without_a_virtual_one_goes_at_once() {
        let host = twin(&pod("web"));
        assert_eq!(decide(None, Some(host.clone())), ["delete host Some(0)"]);
        assert_eq!(
            decide(None, Some(going(host.clone(), 30))),
            ["delete host Some(0)"]
        );
        assert!(decide(None, Some(going(host, 0))).is_empty());
    }

    #[test]
    fn another_pod_of_the_same_name_waits_for_the_first_to_go() {
        let first = pod("web");
        let host = twin(&first);
        let mut second = first;
        second.metadata.uid = Some("another".to_owned());
        assert_eq!(
            decide(Some(second.clone()), Some(host.clone())),
            ["delete host Some(0)"]
        );
        assert!(decide(Some(second.clone()), Some(going(host, 0))).is_empty());
        assert_eq!(decide(Some(second), None), ["create"]);
    }

    #[test]
    fn the_virtual_pod_follows_the_hosts_scheduler_once_the_node_is_there() {
        let pod = pod("web");
        let host = on("worker", twin(&pod));
        let mut cx = translation();
        assert_eq!(
            decide_in(&cx, Some(pod.clone()), Some(host.clone())),
            ["wait"]
        );
        cx.around.has_virtual_node = true;
        assert_eq!(
            decide_in(&cx, Some(pod.clone()), Some(host.clone())),
            ["bind worker"]
        );
        assert!(decide_in(&cx, Some(on("worker", pod)), Some(host)).is_empty());
    }

    #[test]
    fn news_do_not_wait_for_the_node() {
        let pod = pod("web");
        let host = started(on("worker", twin(&pod)));
        assert_eq!(decide(Some(pod), Some(host)), ["status", "wait"]);
    }

    #[test]
    fn a_pod_that_runs_elsewhere_is_not_this_one() {
        let pod = on("one", pod("web"));
        let host = on("two", twin(&pod));
        assert_eq!(decide(Some(pod), Some(host)), ["delete virtual 0"]);
    }
}
