//! What a tenant says about its pods and services, on the host when that is asked for.

use k8s_openapi::api::{
    core::v1::{Pod, Secret, ServiceAccount},
    networking::v1::{Ingress, NetworkPolicy},
    policy::v1::PodDisruptionBudget,
};
use kube::ResourceExt;
use serde_json::json;

use super::world::{HOST, TEAM, World, host_name, meta, pod, secret};
use crate::{labels, resource::Synced};

#[tokio::test]
async fn an_ingress_brings_its_certificate_and_gets_its_address() {
    let world = World::awake_with(|sync| sync.to_host.ingresses.enabled = true).await;
    world.on_virtual.put(&secret("tls"));
    let ingress = Ingress {
        metadata: meta("web"),
        spec: serde_json::from_value(json!({"tls": [{"secretName": "tls"}]})).unwrap(),
        status: None,
    };
    world.on_virtual.put(&ingress);
    let (host_web, host_tls) = (host_name("web"), host_name("tls"));
    world
        .on_host
        .wait_for_object::<Secret>(HOST, &host_tls, |_| true)
        .await;
    world
        .on_host
        .wait_for_object::<Ingress>(HOST, &host_web, |_| true)
        .await;
    let status = json!({"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}});
    world.on_host.edit::<Ingress>(HOST, &host_web, |ingress| {
        ingress.status = serde_json::from_value(status.clone()).unwrap();
    });
    let has_address = |ingress: &Ingress| ingress.status.is_some();
    world
        .on_virtual
        .wait_for_object(TEAM, "web", has_address)
        .await;
    world.on_virtual.remove::<Ingress>(TEAM, "web");
    world
        .on_host
        .wait_until_gone::<Ingress>(HOST, &host_web)
        .await;
    world
        .on_host
        .wait_until_gone::<Secret>(HOST, &host_tls)
        .await;
}

#[tokio::test]
async fn what_is_not_asked_for_stays_in_the_virtual_cluster() {
    let world = World::awake().await;
    world.on_virtual.put(&Ingress {
        metadata: meta("web"),
        ..Ingress::default()
    });
    world.on_virtual.put(&NetworkPolicy {
        metadata: meta("web"),
        ..NetworkPolicy::default()
    });
    world.on_virtual.put(&ServiceAccount {
        metadata: meta("web"),
        ..ServiceAccount::default()
    });
    world.settle().await;
    assert!(world.on_host.list::<Ingress>().is_empty());
    assert!(world.on_host.list::<NetworkPolicy>().is_empty());
    assert!(world.on_host.list::<ServiceAccount>().is_empty());
}

/// The object goes to the host, is repaired there, and goes again.
async fn lives<K: Synced>(world: &World, object: &K) -> K {
    let host = host_name(&object.name_any());
    world.on_virtual.put(object);
    let twin = world
        .on_host
        .wait_for_object::<K>(HOST, &host, |_| true)
        .await;
    world.on_host.remove::<K>(HOST, &host);
    world
        .on_host
        .wait_for_object::<K>(HOST, &host, |again| again.uid() != twin.uid())
        .await;
    world.on_virtual.remove::<K>(TEAM, &object.name_any());
    world.on_host.wait_until_gone::<K>(HOST, &host).await;
    twin
}

#[tokio::test]
async fn policies_and_budgets_speak_of_the_tenants_pods_only() {
    let world = World::awake_with(|sync| {
        sync.to_host.network_policies.enabled = true;
        sync.to_host.pod_disruption_budgets.enabled = true;
    })
    .await;
    let policy = NetworkPolicy {
        metadata: meta("deny"),
        spec: serde_json::from_value(json!({"podSelector": {}})).unwrap(),
    };
    let policy = lives(&world, &policy).await;
    let budget = PodDisruptionBudget {
        metadata: meta("one"),
        spec: serde_json::from_value(json!({"minAvailable": 1, "selector": {}})).unwrap(),
        status: None,
    };
    let budget = lives(&world, &budget).await;
    let selectors = [
        policy.spec.unwrap().pod_selector.unwrap(),
        budget.spec.unwrap().selector.unwrap(),
    ];
    for selector in selectors {
        let matched = selector.match_labels.unwrap();
        assert_eq!(matched[labels::MANAGED_BY], "test");
        assert_eq!(matched[labels::NAMESPACE], "team");
    }
}

#[tokio::test]
async fn pods_run_under_their_own_account_when_it_is_on_the_host() {
    let world = World::awake_with(|sync| sync.to_host.service_accounts.enabled = true).await;
    let mut pod = pod("web");
    pod.spec.as_mut().unwrap().service_account_name = Some("builder".to_owned());
    world.on_virtual.put(&ServiceAccount {
        metadata: meta("builder"),
        ..ServiceAccount::default()
    });
    world.on_virtual.put(&pod);
    let twin = world
        .on_host
        .wait_for_object::<Pod>(HOST, &host_name("web"), |_| true)
        .await;
    let account = twin.spec.unwrap().service_account_name.unwrap();
    assert_eq!(account, host_name("builder"));
    let on_host = world.on_host.get::<ServiceAccount>(HOST, &account).unwrap();
    assert_eq!(on_host.automount_service_account_token, Some(false));
}
