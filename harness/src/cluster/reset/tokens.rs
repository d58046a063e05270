//! Tokens for the pods that outlive a reset, such as the DNS server's. Their service accounts are new, so
//! the syncer is told that the tokens it minted must be renewed, and the kubelets that there is something
//! to fetch, which they would look for a minute later.

use std::{collections::HashMap, time::Duration};

use futures::future::try_join_all;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Pod, Secret};
use kube::{
    Api, Client, ResourceExt as _,
    api::{ListParams, Patch, PatchParams},
    core::PartialObjectMeta,
};
use serde_json::{Value, json};
use vcluster_syncer::{labels, naming::NameTranslator};

use super::{ResetError, error::request};
use crate::{cluster::names::Names, deadline::Deadline};

/// How long between two looks at what the syncer does in some milliseconds.
const PAUSE: Duration = Duration::from_millis(20);
/// A change that a kubelet sees.
const RESET_AT: &str = "vcluster-test.dev/reset-at";

/// Renews the tokens of all pods of one cluster that run.
pub(super) async fn renew(
    host: &Client,
    names: &Names,
    deadline: Deadline,
) -> Result<(), ResetError> {
    let secrets: Api<Secret> = Api::namespaced(host.clone(), names.namespace());
    let pods: Api<Pod> = Api::namespaced(host.clone(), names.namespace());
    let asked = Timestamp::now();
    let running = running(&pods, names).await?;
    let overdue = annotation(labels::RENEW_AT, asked);
    let parameters = PatchParams::default();
    let old = held(&secrets, &running).await?;
    try_join_all(old.iter().map(async |secret| {
        let name = secret.name_any();
        let patched = secrets.patch_metadata(&name, &parameters, &overdue).await;
        gone_is_fine(patched, &name)
    }))
    .await?;
    loop {
        let late: Vec<_> = held(&secrets, &running)
            .await?
            .iter()
            .filter(|secret| !is_renewed(secret, asked))
            .map(|secret| format!("secret {}", secret.name_any()))
            .collect();
        if late.is_empty() {
            break;
        }
        if deadline.is_over() {
            return Err(ResetError::Tokens {
                secrets: late,
                limit: deadline.limit(),
            });
        }
        tokio::time::sleep(PAUSE).await;
    }
    let news = annotation(RESET_AT, asked);
    try_join_all(running.values().map(async |name| {
        let patched = pods.patch_metadata(name, &parameters, &news).await;
        gone_is_fine(patched, name)
    }))
    .await?;
    Ok(())
}

/// The host pods that run or will, by the uids of their twins.
async fn running(pods: &Api<Pod>, names: &Names) -> Result<HashMap<String, String>, ResetError> {
    let translator = NameTranslator::new(names.cluster(), names.namespace());
    let ours = format!("{}={}", labels::MANAGED_BY, translator.managed_by());
    let list = pods.list(&ListParams::default().labels(&ours)).await;
    let list = list.map_err(request("list pods of the cluster on host"))?;
    let running = list.iter().filter(|pod| may_use_tokens(pod));
    let by_twin = running.filter_map(|pod| {
        let twin = pod.annotations().get(labels::OBJECT_UID)?;
        Some((twin.clone(), pod.name_any()))
    });
    Ok(by_twin.collect())
}

/// The syncer renews no tokens for what is over.
fn may_use_tokens(pod: &Pod) -> bool {
    let phase = pod
        .status
        .as_ref()
        .and_then(|status| status.phase.as_deref());
    pod.metadata.deletion_timestamp.is_none() && !matches!(phase, Some("Succeeded" | "Failed"))
}

/// The secrets with the tokens of these pods.
async fn held(
    secrets: &Api<Secret>,
    running: &HashMap<String, String>,
) -> Result<Vec<PartialObjectMeta<Secret>>, ResetError> {
    let ours = ListParams::default().labels(labels::TOKENS);
    let list = secrets.list_metadata(&ours).await;
    let list = list.map_err(request("list the tokens of pods on host"))?;
    let of_running = |secret: &PartialObjectMeta<Secret>| {
        let holder = secret.annotations().get(labels::POD_UID);
        holder.is_some_and(|uid| running.contains_key(uid))
    };
    Ok(list.items.into_iter().filter(of_running).collect())
}

fn annotation(key: &str, value: Timestamp) -> Patch<Value> {
    Patch::Merge(json!({"metadata": {"annotations": {key: value.to_string()}}}))
}

/// The syncer sets a time that is to come.
fn is_renewed(secret: &PartialObjectMeta<Secret>, asked: Timestamp) -> bool {
    secret
        .annotations()
        .get(labels::RENEW_AT)
        .and_then(|at| at.parse::<Timestamp>().ok())
        .is_some_and(|at| at > asked)
}

fn gone_is_fine<T>(patched: kube::Result<T>, name: &str) -> Result<(), ResetError> {
    match patched {
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        other => other
            .map(drop)
            .map_err(request(format!("mark {name} on host"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_renewed_when_it_is_good_for_some_time_again() {
        let asked = Timestamp::from_second(100).unwrap();
        let secret = |second: i64| {
            let at = Timestamp::from_second(second).unwrap().to_string();
            let mut secret = PartialObjectMeta::<Secret>::default();
            secret
                .annotations_mut()
                .insert(labels::RENEW_AT.to_owned(), at);
            secret
        };
        assert!(!is_renewed(&secret(100), asked));
        assert!(is_renewed(&secret(101), asked));
        assert!(!is_renewed(&PartialObjectMeta::default(), asked));
    }

    #[test]
    fn only_a_pod_that_is_not_over_may_use_its_tokens() {
        let pod = |phase: &str| Pod {
            status: Some(k8s_openapi::api::core::v1::PodStatus {
                phase: Some(phase.to_owned()),
                ..Default::default()
            }),
            ..Pod::default()
        };
        assert!(may_use_tokens(&pod("Running")) && may_use_tokens(&Pod::default()));
        assert!(!may_use_tokens(&pod("Succeeded")) && !may_use_tokens(&pod("Failed")));
    }
}
