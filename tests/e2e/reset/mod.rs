//! A cluster put back to its saved state while it runs: a later tenant finds nothing of an earlier one.

mod mess;

use std::{
    collections::BTreeMap,
    hash::{BuildHasher as _, RandomState},
    time::Duration,
};

use anyhow::{Context as _, ensure};
use e2e::{gone, output_of, soon, start};
use k8s_openapi::api::{
    apps::v1::Deployment,
    authentication::v1::{TokenRequest, TokenRequestSpec},
    core::v1::{ConfigMap, Namespace, Node, Pod, Secret, Service, ServiceAccount},
    rbac::v1::{ClusterRole, ClusterRoleBinding},
};
use kube::{
    Api, Client, Config, ResourceExt as _,
    api::{DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams},
    config::KubeConfigOptions,
    core::{GroupVersionKind, TypeMeta},
    discovery::{self, Discovery, Scope, verbs},
    runtime::conditions::is_crd_established,
};
use serde_json::{Value, json};
use vcluster_fixtures::pods::{shell, sleeper};
use vcluster_harness::{
    asset::Component,
    cluster::{ResetError, VirtualCluster},
    command, vcluster_test,
    wait::{self, conditions},
};
use vcluster_syncer::labels;

/// Kinds that tell of the moment rather than of the state.
const MOMENTARY: &[&str] = &["ComponentStatus", "Event", "Lease", "Node"];
/// Kinds whose names are by chance.
const NAMELESS: &[&str] = &["EndpointSlice", "Pod", "ReplicaSet"];

/// Everything that can be listed, less what differs between two objects that ask for the same.
async fn picture(client: &Client) -> anyhow::Result<BTreeMap<String, Value>> {
    let mut picture = BTreeMap::new();
    let discovered = Discovery::new(client.clone()).run().await?;
    for group in discovered.groups() {
        for (resource, capabilities) in group.recommended_resources() {
            let kind = resource.kind.as_str();
            if !capabilities.supports_operation(verbs::LIST) || MOMENTARY.contains(&kind) {
                continue;
            }
            let api: Api<DynamicObject> = Api::all_with(client.clone(), &resource);
            for object in api.list(&ListParams::default()).await? {
                let namespace = object.namespace().unwrap_or_default();
                if NAMELESS.contains(&kind) {
                    let count = picture
                        .entry(format!("{}/{kind} in {namespace}", resource.group))
                        .or_insert(json!(0));
                    *count = json!(count.as_u64().unwrap_or(0) + 1);
                } else {
                    let key = format!(
                        "{}/{kind} {namespace}/{}",
                        resource.group,
                        object.name_any()
                    );
                    picture.insert(key, lasting(object));
                }
            }
        }
    }
    Ok(picture)
}

fn lasting(mut object: DynamicObject) -> Value {
    if let Some(data) = object.data.as_object_mut() {
        // Who is behind a service changes with its pods.
        for momentary in ["status", "subsets"] {
            data.remove(momentary);
        }
    }
    json!({"labels": object.labels(), "finalizers": object.finalizers(), "rest": object.data})
}

/// The keys whose pictures differ.
fn differences(before: &BTreeMap<String, Value>, after: &BTreeMap<String, Value>) -> Vec<String> {
    let keys = before.keys().chain(after.keys());
    let mut keys: Vec<_> = keys
        .filter(|key| before.get(*key) != after.get(*key))
        .cloned()
        .collect();
    keys.sort();
    keys.dedup();
    keys
}

/// Creates an object of any kind.
pub(crate) async fn make(client: &Client, object: Value) -> anyhow::Result<()> {
    let object: DynamicObject = serde_json::from_value(object)?;
    let types = object.types.clone().unwrap_or_else(|| TypeMeta {
        api_version: "v1".to_owned(),
        kind: String::new(),
    });
    let kind = GroupVersionKind::try_from(&types)?;
    let (resource, capabilities) = discovery::pinned_kind(client, &kind).await?;
    let namespace = object.namespace().unwrap_or_else(|| "default".to_owned());
    let api: Api<DynamicObject> = match capabilities.scope {
        Scope::Cluster => Api::all_with(client.clone(), &resource),
        Scope::Namespaced => Api::namespaced_with(client.clone(), &namespace, &resource),
    };
    api.create(&PostParams::default(), &object).await?;
    Ok(())
}

/// Waits for a kind whose definition is established: it is served a moment later.
async fn is_served(client: &Client, kind: &GroupVersionKind) -> anyhow::Result<()> {
    let deadline = soon("served");
    while let Err(error) = discovery::pinned_kind(client, kind).await {
        ensure!(!deadline.is_over(), "{kind:?} is not served: {error}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

/// A client that has only a token of the service account `default/default`, which may do anything.
async fn powerful_account(cluster: &VirtualCluster) -> anyhow::Result<Client> {
    let client = cluster.client();
    make(&client, json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
        "metadata": {"name": "mess"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
        "subjects": [{"kind": "ServiceAccount", "name": "default", "namespace": "default"}],
    }))
    .await?;
    let accounts: Api<ServiceAccount> = Api::default_namespaced(client);
    let request = TokenRequest {
        spec: Some(TokenRequestSpec {
            expiration_seconds: Some(3600),
            ..TokenRequestSpec::default()
        }),
        ..TokenRequest::default()
    };
    let minted = accounts
        .create_token_request("default", &PostParams::default(), &request)
        .await?;
    let token = minted.status.context("no token")?.token.unwrap_or_default();
    let options = KubeConfigOptions::default();
    let mut config = Config::from_custom_kubeconfig(cluster.kubeconfig().clone(), &options).await?;
    config.auth_info = serde_json::from_value(json!({ "token": token }))?;
    let client = Client::try_from(config)?;
    Api::<Secret>::all(client.clone())
        .list(&ListParams::default())
        .await
        .context("the token is of no use even now")?;
    Ok(client)
}

/// Workloads that run, in a namespace that then cannot be deleted.
async fn clutter(client: &Client, image: &str) -> anyhow::Result<()> {
    make(
        client,
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "mess"}}),
    )
    .await?;
    let mut template = serde_json::to_value(sleeper("web", image).spec)?;
    template["restartPolicy"] = json!("Always");
    make(
        client,
        json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": "web", "namespace": "mess"},
            "spec": {
                "replicas": 2,
                "selector": {"matchLabels": {"app": "web"}},
                "template": {"metadata": {"labels": {"app": "web"}}, "spec": template},
            },
        }),
    )
    .await?;
    make(
        client,
        json!({
            "apiVersion": "v1", "kind": "Service",
            "metadata": {"name": "web", "namespace": "mess"},
            "spec": {"type": "NodePort", "selector": {"app": "web"}, "ports": [{"port": 80}]},
        }),
    )
    .await?;
    make(
        client,
        json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": "held", "namespace": "mess", "finalizers": ["example.org/never"]},
        }),
    )
    .await?;
    make(
        client,
        json!({
            "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "metadata": {"name": "things.example.org"},
            "spec": {
                "group": "example.org",
                "names": {"kind": "Thing", "plural": "things"},
                "scope": "Namespaced",
                "versions": [{
                    "name": "v1", "served": true, "storage": true,
                    "schema": {"openAPIV3Schema": {"type": "object"}},
                }],
            },
        }),
    )
    .await?;
    let definitions = Api::all(client.clone());
    wait::until(
        &definitions,
        "things.example.org",
        is_crd_established(),
        soon("established"),
    )
    .await?;
    is_served(client, &GroupVersionKind::gvk("example.org", "v1", "Thing")).await?;
    make(
        client,
        json!({
            "apiVersion": "example.org/v1", "kind": "Thing",
            "metadata": {"name": "one", "namespace": "mess", "finalizers": ["example.org/never"]},
        }),
    )
    .await?;
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), "mess");
    let available = conditions::is_deployment_available();
    wait::until(&deployments, "web", available, soon("available")).await?;
    Ok(())
}

/// What a tenant should never do, and does.
async fn vandalism(client: &Client) -> anyhow::Result<()> {
    let at_once = DeleteParams::default();
    let system = "kube-system";
    Api::<Namespace>::all(client.clone())
        .delete("mess", &at_once)
        .await?;
    Api::<Deployment>::namespaced(client.clone(), system)
        .delete("coredns", &at_once)
        .await?;
    Api::<Service>::namespaced(client.clone(), system)
        .delete("kube-dns", &at_once)
        .await?;
    Api::<Service>::default_namespaced(client.clone())
        .delete("kubernetes", &at_once)
        .await?;
    Api::<ServiceAccount>::default_namespaced(client.clone())
        .delete("default", &at_once)
        .await?;
    Api::<ClusterRole>::all(client.clone())
        .delete("cluster-admin", &at_once)
        .await?;
    Api::<ClusterRoleBinding>::all(client.clone())
        .delete_collection(&at_once, &ListParams::default())
        .await?;
    make(
        client,
        json!({
            "apiVersion": "v1", "kind": "ResourceQuota",
            "metadata": {"name": "nothing", "namespace": "default"},
            "spec": {"hard": {"pods": "0"}},
        }),
    )
    .await?;
    // The last thing that anybody writes through the API.
    make(client, json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": "nobody"},
        "webhooks": [{
            "name": "nobody.example.org",
            "admissionReviewVersions": ["v1"],
            "sideEffects": "None",
            "failurePolicy": "Fail",
            "clientConfig": {"url": "https://127.0.0.1:1/"},
            "rules": [{"apiGroups": ["*"], "apiVersions": ["*"], "operations": ["*"], "resources": ["*"]}],
        }],
    }))
    .await?;
    Ok(())
}

#[vcluster_test(distro = "k8s")]
async fn a_reset_undoes_any_mess(cluster: VirtualCluster, client: Client) -> anyhow::Result<()> {
    let image = cluster.image(Component::Shell).await?;
    cluster.save_state().await?;
    let before = picture(&client).await?;
    let account = Api::<ServiceAccount>::default_namespaced(client.clone())
        .get("default")
        .await?;

    let powerful = powerful_account(&cluster).await?;
    clutter(&client, &image).await?;
    vandalism(&client).await?;
    let reset = cluster.reset().await?;
    tracing::info!(?reset, "reset");

    let after = picture(&client).await?;
    ensure!(before == after, "{:?}", differences(&before, &after));
    let renewed = Api::<ServiceAccount>::default_namespaced(client.clone())
        .get("default")
        .await?;
    ensure!(account.uid() != renewed.uid());

    let host = cluster.host_client();
    let of_mess = ListParams::default().labels(&format!("{}=mess", labels::NAMESPACE));
    let pods = Api::<Pod>::namespaced(host.clone(), cluster.namespace())
        .list(&of_mess)
        .await?;
    let services = Api::<Service>::namespaced(host, cluster.namespace())
        .list(&of_mess)
        .await?;
    ensure!(pods.items.is_empty(), "{:?}", pods.items);
    ensure!(services.items.is_empty(), "{:?}", services.items);

    // An API server trusts for ten seconds what it has once found to be true; the rights are gone at
    // once.
    let secrets: Api<Secret> = Api::all(powerful);
    let deadline = soon("refused");
    loop {
        match secrets.list(&ListParams::default()).await {
            Err(kube::Error::Api(status)) if status.code == 401 => break,
            Err(kube::Error::Api(status)) if status.code == 403 => {}
            other => anyhow::bail!("the token of before still has rights: {other:?}"),
        }
        ensure!(!deadline.is_over(), "the token of before still counts");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }

    // The next tenant finds a cluster that works.
    let script = "until nslookup kubernetes.default.svc.cluster.local; do sleep 1; done";
    let pods: Api<Pod> = Api::default_namespaced(client);
    output_of(&pods, &shell("next", &image, script)).await?;
    let again = cluster.reset().await?;
    gone(&pods, "next").await?;
    ensure!(again.store.deleted > 0, "{again:?}");
    Ok(())
}

#[vcluster_test(distro = "k8s")]
async fn whatever_was_done_by_chance_is_undone(
    cluster: VirtualCluster,
    client: Client,
) -> anyhow::Result<()> {
    what_is_done_by_chance_is_undone(&cluster, &client).await
}

#[vcluster_test(store = "kine")]
async fn whatever_was_done_by_chance_is_undone_in_kine(
    cluster: VirtualCluster,
    client: Client,
) -> anyhow::Result<()> {
    what_is_done_by_chance_is_undone(&cluster, &client).await
}

async fn what_is_done_by_chance_is_undone(
    cluster: &VirtualCluster,
    client: &Client,
) -> anyhow::Result<()> {
    let image = cluster.image(Component::Shell).await?;
    cluster.save_state().await?;
    let before = picture(client).await?;
    for _ in 0..2 {
        let seed = RandomState::new().hash_one("mess");
        let about = || format!("the mess of seed {seed}");
        let mut dice = mess::Dice::new(seed);
        let allowed = mess::make_a_mess(client, &image, &mut dice, 60).await;
        let allowed = allowed.with_context(about)?;
        ensure!(allowed > 20, "only {allowed} of {}", about());
        let reset = cluster.reset().await.with_context(about)?;
        tracing::info!(?reset, seed, allowed, "reset");
        let after = picture(client).await.with_context(about)?;
        let differences = differences(&before, &after);
        ensure!(differences.is_empty(), "{}: {differences:?}", about());
    }
    Ok(())
}

#[vcluster_test(distro = "k8s")]
async fn what_nobody_touched_stays_as_it_is(
    cluster: VirtualCluster,
    client: Client,
) -> anyhow::Result<()> {
    cluster.save_state().await?;
    let pods: Api<Pod> = Api::namespaced(client, "kube-system");
    let uids = |list: kube::core::ObjectList<Pod>| -> Vec<_> {
        list.iter().map(kube::ResourceExt::uid).collect()
    };
    let before = uids(pods.list(&ListParams::default()).await?);
    for _ in 0..3 {
        cluster.reset().await?;
    }
    let after = uids(pods.list(&ListParams::default()).await?);
    ensure!(before == after, "{before:?} became {after:?}");
    Ok(())
}

/// A node as a tenant may change it.
fn node_as_it_is(node: &Node) -> Value {
    let spec = node.spec.clone().unwrap_or_default();
    let mut annotations = node.annotations().clone();
    // Somebody writes it all the time.
    annotations.remove("node.alpha.kubernetes.io/ttl");
    json!({"labels": node.labels(), "annotations": annotations, "taints": spec.taints,
        "unschedulable": spec.unschedulable})
}

#[vcluster_test(distro = "k8s")]
async fn nothing_that_was_put_on_a_node_stays(
    cluster: VirtualCluster,
    client: Client,
) -> anyhow::Result<()> {
    let image = cluster.image(Component::Shell).await?;
    let pods: Api<Pod> = Api::default_namespaced(client.clone());
    start(&pods, &sleeper("kept", &image)).await?;
    let nodes: Api<Node> = Api::all(client);
    let list = nodes.list(&ListParams::default()).await?;
    let node = list.items.first().context("no node")?;
    let (name, before) = (node.name_any(), node_as_it_is(node));
    cluster.save_state().await?;

    let mess = json!({
        "metadata": {"labels": {"mess": "yes"}, "annotations": {"mess": "yes"}},
        "spec": {"unschedulable": true, "taints": [{"key": "mess", "effect": "NoSchedule"}]},
    });
    let patch = Patch::Strategic(&mess);
    let messy = nodes.patch(&name, &PatchParams::default(), &patch).await?;
    ensure!(node_as_it_is(&messy) != before, "nothing was put on {name}");
    cluster.reset().await?;

    let is_as_before = |node: Option<&Node>| node.is_some_and(|it| node_as_it_is(it) == before);
    wait::until(&nodes, &name, is_as_before, soon("as before")).await?;
    ensure!(
        pods.get("kept")
            .await?
            .metadata
            .deletion_timestamp
            .is_none()
    );
    Ok(())
}

#[vcluster_test(distro = "k8s")]
async fn five_hundred_objects_are_gone_in_a_moment(
    cluster: VirtualCluster,
    client: Client,
) -> anyhow::Result<()> {
    five_hundred_objects_go(&cluster, client).await
}

#[vcluster_test(store = "kine")]
async fn five_hundred_objects_are_gone_from_kine(
    cluster: VirtualCluster,
    client: Client,
) -> anyhow::Result<()> {
    five_hundred_objects_go(&cluster, client).await
}

async fn five_hundred_objects_go(cluster: &VirtualCluster, client: Client) -> anyhow::Result<()> {
    cluster.save_state().await?;
    let maps: Api<ConfigMap> = Api::default_namespaced(client);
    for number in 0..500 {
        let map = ConfigMap {
            metadata: kube::core::ObjectMeta {
                name: Some(format!("map-{number}")),
                ..kube::core::ObjectMeta::default()
            },
            ..ConfigMap::default()
        };
        maps.create(&PostParams::default(), &map).await?;
    }
    let reset = cluster.reset().await?;
    tracing::info!(?reset, "reset");
    ensure!(reset.store.deleted >= 500, "{reset:?}");
    let left = maps.list(&ListParams::default()).await?;
    let names: Vec<_> = left.iter().map(kube::ResourceExt::name_any).collect();
    ensure!(names == ["kube-root-ca.crt"], "{names:?}");
    Ok(())
}

#[vcluster_test(distro = "k8s")]
async fn without_a_saved_state_there_is_no_reset(cluster: VirtualCluster) -> anyhow::Result<()> {
    let error = cluster.reset().await.unwrap_err();
    let ResetError::Failed { message, .. } = &error else {
        panic!("{error:?}");
    };
    ensure!(
        message.contains("could not read the saved state"),
        "{message}"
    );
    Ok(())
}

#[vcluster_test(distro = "k8s")]
async fn a_pod_of_the_saved_state_outlives_resets_with_a_new_token(
    cluster: VirtualCluster,
    client: Client,
) -> anyhow::Result<()> {
    let image = cluster.image(Component::Shell).await?;
    let pods: Api<Pod> = Api::default_namespaced(client);
    let pod = start(&pods, &sleeper("web", &image)).await?;
    cluster.save_state().await?;
    let file = "/var/run/secrets/kubernetes.io/serviceaccount/token";
    let read = || command::output(&pods, "web", ["cat", file]);
    let before = read().await?;

    cluster.reset().await?;

    ensure!(
        pods.get("web").await?.uid() == pod.uid(),
        "it is another pod"
    );
    let deadline = soon("renewed");
    while read().await? == before {
        ensure!(!deadline.is_over(), "it has its old token still");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    Ok(())
}
