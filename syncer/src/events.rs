//! Brings the host's events about synced objects into the virtual cluster, in the tenant's names:
//! why a pod does not start is said in events, and on the host.

use std::sync::Arc;

use futures::StreamExt;
use k8s_openapi::api::core::v1::{Event, ObjectReference};
use kube::{
    ResourceExt,
    runtime::watcher::{self, watcher},
};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use crate::{
    caches::Pair, chain::Chain, clusters::Clusters, metadata, object_key::ObjectKey,
    resource::Synced, warning,
};

/// Copies events until `stop`. They are not kept: there are many, and each is written once.
pub(crate) async fn run(clusters: Arc<Clusters>, stop: CancellationToken) {
    // Events are about objects that must be known first.
    if stop
        .run_until_cancelled(clusters.caches.wait_until_ready())
        .await
        .is_none()
    {
        return;
    }
    let api = Event::api(
        clusters.on_host.client(),
        Some(clusters.names.host_namespace()),
    );
    let mut events = watcher(api, watcher::Config::default().any_semantic()).boxed();
    let mut failures = 0;
    // The stream keeps its state in itself, so a wait for the next event may be dropped.
    while let Some(Some(event)) = stop.run_until_cancelled(events.next()).await {
        match event {
            Ok(watcher::Event::Apply(event) | watcher::Event::InitApply(event)) => {
                failures = 0;
                copy(&clusters, &event).await;
            }
            Ok(_) => failures = 0,
            Err(error) => {
                debug!(error = %Chain(&error), "watch of events failed");
                let pause = crate::cache::pause_after(failures, true);
                failures += 1;
                if stop.run_until_cancelled(sleep(pause)).await.is_none() {
                    return;
                }
            }
        }
    }
}

async fn copy(clusters: &Clusters, event: &Event) {
    let Some(involved) = virtual_object(clusters, &event.involved_object) else {
        return;
    };
    let translated = to_virtual(event, &involved, clusters);
    // An event that cannot be written, say since its namespace is going, is not worth a retry.
    if let Err(error) = clusters.on_virtual.own(&translated).await {
        debug!(error = %Chain(&error), "event not copied");
    }
}

/// The virtual object that an event on the host is about.
fn virtual_object(clusters: &Clusters, involved: &ObjectReference) -> Option<ObjectReference> {
    let caches = &clusters.caches;
    let key = ObjectKey {
        namespace: involved.namespace.clone(),
        name: involved.name.clone()?,
    };
    match involved.kind.as_deref()? {
        "Pod" => twin(clusters, &key, &caches.pods),
        "Service" => twin(clusters, &key, &caches.services),
        "Endpoints" => twin(clusters, &key, &caches.endpoints),
        "EndpointSlice" => twin(clusters, &key, &caches.endpoint_slices),
        "Secret" => twin(clusters, &key, &caches.secrets),
        "ConfigMap" => twin(clusters, &key, &caches.config_maps),
        "PersistentVolumeClaim" => twin(clusters, &key, &caches.claims),
        "Ingress" => twin(clusters, &key, &caches.ingresses),
        "PodDisruptionBudget" => twin(clusters, &key, &caches.disruption_budgets),
        _ => None,
    }
}

fn twin<K: Synced>(
    clusters: &Clusters,
    host_key: &ObjectKey,
    objects: &Pair<K>,
) -> Option<ObjectReference> {
    let host = objects.on_host.get(host_key)?;
    let identity = metadata::identity(host.as_ref(), &clusters.names)?;
    let object = objects.on_virtual.get(&identity.key)?;
    (object.meta().uid.as_deref() == Some(identity.uid.as_str())).then(|| object.object_ref(&()))
}

fn to_virtual(event: &Event, involved: &ObjectReference, clusters: &Clusters) -> Event {
    let key = ObjectKey {
        namespace: involved.namespace.clone(),
        name: involved.name.clone().unwrap_or_default(),
    };
    let host = clusters.names.host_key(&key);
    let mut translated = event.clone();
    translated.metadata = kube::core::ObjectMeta {
        // "pod.hash": the hash keeps apart what is said about one object.
        name: Some(event.name_any().replacen(&host.name, &key.name, 1)),
        namespace: key.namespace.clone(),
        ..kube::core::ObjectMeta::default()
    };
    translated.involved_object = ObjectReference {
        field_path: event.involved_object.field_path.clone(),
        ..involved.clone()
    };
    translated.message = event
        .message
        .as_deref()
        .map(|message| warning::in_tenants_words(message, &key, &clusters.names));
    translated.related = None;
    translated
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{config::tests::config, syncer::tests::unreachable};

    #[tokio::test]
    async fn events_speak_the_tenants_language() {
        let clusters = Clusters::new(unreachable(), unreachable(), config());
        let event = Event {
            metadata: kube::core::ObjectMeta {
                name: Some("web-x-default-x-test.17a".to_owned()),
                namespace: Some("vcluster-test".to_owned()),
                resource_version: Some("9".to_owned()),
                ..kube::core::ObjectMeta::default()
            },
            message: Some(
                "Successfully assigned vcluster-test/web-x-default-x-test to kind".to_owned(),
            ),
            ..Event::default()
        };
        let involved = ObjectReference {
            kind: Some("Pod".to_owned()),
            name: Some("web".to_owned()),
            namespace: Some("default".to_owned()),
            ..ObjectReference::default()
        };
        let translated = to_virtual(&event, &involved, &clusters);
        assert_eq!(translated.name_any(), "web.17a");
        assert_eq!(translated.namespace().as_deref(), Some("default"));
        assert_eq!(translated.resource_version(), None);
        assert_eq!(
            translated.message.as_deref(),
            Some("Successfully assigned default/web to kind")
        );
        assert_eq!(translated.involved_object, involved);
    }
}
