//! The life of a cluster: started in every way there is, found again, deleted, and what is said when
//! it does not start.

use std::time::{Duration, Instant};

use e2e::{Object, soon};
use k8s_openapi::api::{
    core::v1::{ConfigMap, Namespace, Service, ServiceAccount},
    rbac::v1::{ClusterRole, ClusterRoleBinding, Role, RoleBinding},
    scheduling::v1::PriorityClass,
};
use kube::{
    Api, Client,
    api::{DeleteParams, ListParams, ObjectMeta, PostParams},
};
use serde_json::Value;
use vcluster_harness::{
    asset::Assets,
    cluster::{self, Cause, DeleteError, Phase, Step, VirtualCluster, VirtualClusterBuilder},
    deadline::Deadline,
    distro::{self, ControlPlane, ControlPlaneContext, Distro},
    host,
    progress::Progress,
    settings::{HostChoice, Settings},
    vcluster_test,
    version::KubernetesVersion,
};

/// A cluster beside the one that the test was given, on the same host and with the same owner.
fn beside(cluster: &VirtualCluster, suffix: &str) -> VirtualClusterBuilder {
    VirtualCluster::builder(&format!("{}-{suffix}", cluster.name())).owner(cluster.owner().clone())
}

fn assets() -> anyhow::Result<Assets> {
    Ok(Assets::new(&Settings::from_process()?, Progress::silent()))
}

fn a_minute() -> Deadline {
    Deadline::after("gone", Duration::from_mins(1))
}

/// Every harness that can create a pod can do all the rest of it.
async fn is_usable(client: Client) -> anyhow::Result<()> {
    Api::<ServiceAccount>::default_namespaced(client)
        .get("default")
        .await?;
    Ok(())
}

#[vcluster_test(fresh)]
async fn a_start_passes_every_phase(cluster: VirtualCluster) {
    let passed: Vec<_> = cluster.phases().iter().map(|(phase, _)| phase).collect();
    // Who is quick is ready before the host has told that all containers run.
    let every_start = [
        Phase::Room,
        Phase::Images,
        Phase::Namespace,
        Phase::Address,
        Phase::Objects,
        Phase::Ready,
        Phase::Account,
        Phase::Syncer,
    ];
    for phase in every_start {
        assert!(passed.contains(&phase), "{phase} is not among {passed:?}");
    }
    // What nobody asked for.
    for phase in [Phase::Fixtures, Phase::Saved, Phase::Taken] {
        assert!(!passed.contains(&phase), "{phase} is among {passed:?}");
    }
}

/// The first of its kind may be the one of which the others learn that.
#[vcluster_test]
async fn a_cluster_begins_with_what_its_api_server_would_make(
    cluster: VirtualCluster,
) -> anyhow::Result<()> {
    let second = beside(&cluster, "second");
    let second = second.start(cluster.host(), &assets()?).await?;
    let client = second.client();
    let begun = beginning(&client).await?;
    let names: Vec<_> = begun
        .iter()
        .map(|object| &object["metadata"]["name"])
        .collect();
    for name in [
        "cluster-admin",
        "view",
        "system-node-critical",
        "kubernetes",
    ] {
        assert!(
            names.iter().any(|found| *found == name),
            "no {name} in {names:?}"
        );
    }
    let deadline = soon("all of the API server");
    while let Err(error) = client
        .request_text(http::Request::get("/readyz").body(Vec::new())?)
        .await
    {
        anyhow::ensure!(!deadline.is_over(), error);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(beginning(&client).await?, begun);
    second.delete().await?;
    Ok(())
}

/// What an API server makes by itself, to the last revision.
async fn beginning(client: &Client) -> anyhow::Result<Vec<Value>> {
    let of_roles = ListParams::default().labels("kubernetes.io/bootstrapping=rbac-defaults");
    let of_server = ListParams::default().labels("component=apiserver,provider=kubernetes");
    let mut objects = list::<ClusterRole>(client, &of_roles).await?;
    // What is put together of other roles is so sooner or later.
    for role in &mut objects {
        if role.get("aggregationRule").is_some() {
            role["rules"] = Value::Null;
            role["metadata"]["resourceVersion"] = Value::Null;
            role["metadata"]["managedFields"] = Value::Null;
        }
    }
    objects.extend(list::<ClusterRoleBinding>(client, &of_roles).await?);
    objects.extend(list::<Role>(client, &of_roles).await?);
    objects.extend(list::<RoleBinding>(client, &of_roles).await?);
    objects.extend(list::<PriorityClass>(client, &ListParams::default()).await?);
    objects.extend(list::<Service>(client, &of_server).await?);
    Ok(objects)
}

async fn list<K: Object>(client: &Client, parameters: &ListParams) -> anyhow::Result<Vec<Value>> {
    let found = Api::<K>::all(client.clone()).list(parameters).await?;
    let objects = found.items.iter().map(serde_json::to_value);
    Ok(objects.collect::<Result<_, _>>()?)
}

#[vcluster_test]
async fn a_running_cluster_is_found_again(cluster: VirtualCluster) -> anyhow::Result<()> {
    let found = cluster::connect(cluster.host(), cluster.name()).await?;
    is_usable(found.client()).await?;
    assert_eq!(found.version(), cluster.version());
    assert_eq!(found.namespace(), cluster.namespace());

    let records = cluster::list(&cluster.host_client()).await?;
    let record = records
        .iter()
        .find(|record| record.name == cluster.name())
        .expect("a running cluster is listed");
    assert_eq!(record.distro.as_deref(), Some("k8s"));
    assert_eq!(record.owner.as_ref(), Some(cluster.owner()));
    let api = Api::<k8s_openapi::api::core::v1::Service>::default_namespaced(cluster.client());
    let kubernetes = api.get("kubernetes").await?;
    let address = kubernetes.spec.and_then(|spec| spec.cluster_ip);
    let slice = record.slice.expect("a running cluster has its addresses");
    assert!(slice.contains(&address.unwrap_or_default().parse::<std::net::IpAddr>()?));
    Ok(())
}

#[vcluster_test]
async fn an_unknown_cluster_is_answered_with_the_known(
    cluster: VirtualCluster,
) -> anyhow::Result<()> {
    let error = cluster::connect(cluster.host(), "nobody")
        .await
        .unwrap_err();
    let Cause::NotFound { known } = &error.source else {
        panic!("{error:?}");
    };
    assert!(known.contains(&cluster.name().to_owned()));
    Ok(())
}

#[vcluster_test]
async fn deletion_returns_at_once_and_leaves_nothing(
    cluster: VirtualCluster,
) -> anyhow::Result<()> {
    let other = beside(&cluster, "gone")
        .start(cluster.host(), &assets()?)
        .await?;
    let host = cluster.host_client();

    let started = Instant::now();
    other.delete().await?;
    let returned = started.elapsed();
    assert!(returned < Duration::from_secs(5), "{returned:?}");
    other.delete().await?;
    other.wait_until_gone(a_minute()).await?;
    other.delete().await?;

    let ours = ListParams::default().labels(&format!("vcluster-test.dev/cluster={}", other.name()));
    let namespaces = Api::<Namespace>::all(host.clone()).list(&ours).await?;
    let roles = Api::<ClusterRole>::all(host.clone()).list(&ours).await?;
    let bindings = Api::<ClusterRoleBinding>::all(host).list(&ours).await?;
    assert_eq!(namespaces.items, []);
    assert_eq!(roles.items, []);
    assert_eq!(bindings.items, []);
    Ok(())
}

#[vcluster_test]
async fn a_name_is_given_once_and_then_again(cluster: VirtualCluster) -> anyhow::Result<()> {
    let assets = assets()?;
    let again = beside(&cluster, "again");
    let first = again.clone().start(cluster.host(), &assets).await?;
    let error = again
        .clone()
        .start(cluster.host(), &assets)
        .await
        .unwrap_err();
    assert!(matches!(error.source, Cause::Exists { .. }), "{error:?}");
    is_usable(first.client()).await?;

    // Its successor waits until it has gone.
    first.delete().await?;
    let second = again.start(cluster.host(), &assets).await?;
    is_usable(second.client()).await?;
    second.delete().await?;
    Ok(())
}

#[vcluster_test]
async fn what_was_hardly_begun_is_deleted(cluster: VirtualCluster) -> anyhow::Result<()> {
    let host = cluster.host_client();
    let name = format!("{}-half", cluster.name());
    let labels = [
        ("app.kubernetes.io/managed-by", "vcluster-test"),
        ("vcluster-test.dev/cluster", name.as_str()),
    ];
    let namespace = Namespace {
        metadata: ObjectMeta {
            name: Some(name.clone()),
            labels: Some(
                labels
                    .map(|(key, value)| (key.to_owned(), value.to_owned()))
                    .into(),
            ),
            ..ObjectMeta::default()
        },
        ..Namespace::default()
    };
    Api::all(host.clone())
        .create(&PostParams::default(), &namespace)
        .await?;
    cluster::delete(&host, &name).await?;
    cluster::wait_until_gone(&host, &name, a_minute()).await?;
    Ok(())
}

#[vcluster_test]
async fn a_namespace_of_somebody_else_stays(cluster: VirtualCluster) {
    let deleted = cluster::delete(&cluster.host_client(), "kube-system").await;
    assert!(
        matches!(deleted, Err(DeleteError::NotOurs { .. })),
        "{deleted:?}"
    );
}

/// Kubernetes with an option that etcd does not know.
#[derive(Debug)]
struct Broken;

impl Distro for Broken {
    fn name(&self) -> &'static str {
        "broken"
    }

    fn control_plane(
        &self,
        version: KubernetesVersion,
        cx: &ControlPlaneContext<'_>,
    ) -> ControlPlane {
        let mut control_plane = distro::DEFAULT.control_plane(version, cx);
        let server = control_plane
            .containers
            .iter_mut()
            .find(|container| container.name == "kube-apiserver");
        server
            .expect("every control plane has an API server")
            .command
            .push("--no-such-option".to_owned());
        control_plane
    }
}

#[vcluster_test]
async fn a_container_that_never_runs_is_reported_in_its_own_words(
    cluster: VirtualCluster,
) -> anyhow::Result<()> {
    let broken = beside(&cluster, "broken").distro(&Broken);
    let started = Instant::now();
    let error = broken.start(cluster.host(), &assets()?).await.unwrap_err();
    let elapsed = started.elapsed();
    assert_eq!(error.step, Step::ControlPlane);
    let Cause::Container(failure) = &error.source else {
        panic!("{error:?}");
    };
    assert_eq!(failure.container, "kube-apiserver");
    assert!(failure.log.contains("no-such-option"), "{failure}");
    assert!(elapsed < Duration::from_mins(1), "{elapsed:?}");

    // What it had made is being deleted.
    let host = cluster.host_client();
    cluster::wait_until_gone(&host, &error.cluster, a_minute()).await?;
    Ok(())
}

#[vcluster_test]
async fn a_start_that_takes_too_long_says_what_it_saw(
    cluster: VirtualCluster,
) -> anyhow::Result<()> {
    let hurried = beside(&cluster, "hurried").timeout(Duration::from_millis(900));
    let error = hurried.start(cluster.host(), &assets()?).await.unwrap_err();
    let Cause::TimedOut { last_seen, .. } = &error.source else {
        panic!("{error:?}");
    };
    assert!(!last_seen.is_empty());
    let host = cluster.host_client();
    cluster::wait_until_gone(&host, &error.cluster, a_minute()).await?;
    Ok(())
}

/// With slices of 2^18 addresses the host's range has room for four, which is too few to share it out.
#[vcluster_test]
async fn a_small_range_is_shared_with_the_host(cluster: VirtualCluster) -> anyhow::Result<()> {
    let shared = beside(&cluster, "shared").slice_bits(18);
    let shared = shared.start(cluster.host(), &assets()?).await?;
    is_usable(shared.client()).await?;
    shared.delete().await?;
    Ok(())
}

/// As on a host of somebody else, whose nodes may be anywhere.
#[vcluster_test]
async fn without_node_ports_a_cluster_is_reached_through_the_hosts_api_server(
    cluster: VirtualCluster,
) -> anyhow::Result<()> {
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("kubeconfig");
    let kubeconfig = serde_json::to_string(cluster.host().kubeconfig())?;
    std::fs::write(&path, kubeconfig)?;
    let maps: Api<ConfigMap> = Api::namespaced(cluster.host_client(), "kube-system");
    let opt_in = ConfigMap {
        metadata: ObjectMeta {
            name: Some("vcluster-test-host".to_owned()),
            ..ObjectMeta::default()
        },
        ..ConfigMap::default()
    };
    maps.create(&PostParams::default(), &opt_in).await?;

    let reached = async {
        let mut settings = Settings::from_process()?;
        settings.host = HostChoice::Kubeconfig {
            path,
            context: None,
        };
        let assets = assets()?;
        let host = host::shared(&settings, &assets, &Progress::silent()).await?;
        let far = beside(&cluster, "far").start(&host, &assets).await?;
        is_usable(far.client()).await?;
        let found = cluster::connect(&host, far.name()).await?;
        is_usable(found.client()).await?;
        far.delete().await?;
        anyhow::Ok(())
    }
    .await;
    maps.delete("vcluster-test-host", &DeleteParams::default())
        .await?;
    reached
}
