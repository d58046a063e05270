//! Tenants of other Kubernetes versions than the host's, and clusters that are taken from one version to
//! the next while they run. One older version is enough for every run: what an upgrade starts from is
//! skewed against the host. The rest of the lock file is for machines that may take their time.

use std::{
    net::IpAddr,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail, ensure};
use e2e::{output_of, soon, start};
use k8s_openapi::api::{
    core::v1::{ConfigMap, Namespace, Pod, Service, ServiceAccount},
    networking::v1::ServiceCIDR,
};
use kube::{
    Api, Client, ResourceExt as _,
    api::{ObjectMeta, Patch, PatchParams, PostParams},
    config::KubeConfigOptions,
};
use rstest::rstest;
use serde_json::json;
use tokio_util::sync::CancellationToken;
use vcluster_fixtures::pods::visitor;
use vcluster_harness::{
    asset::Component,
    cluster::{self, Refusal, UpgradeError, VirtualCluster},
    command, vcluster_test, wait,
};

use crate::{
    child::announce,
    services::{server, service},
};

/// The one that every run has; built or downloaded by `cargo xtask setup`.
#[vcluster_test(version = "1.33")]
async fn an_older_tenant_is_a_whole_cluster(
    cluster: VirtualCluster,
    client: Client,
) -> anyhow::Result<()> {
    is_whole(&cluster, client).await
}

#[vcluster_test(matrix(distro = ["k8s"], version = ["1.31", "1.32", "1.33", "1.35", "1.36"]))]
#[ignore = "needs five more versions, which take an hour to build where no registry has them"]
async fn a_tenant_of_any_version_is_a_whole_cluster(
    cluster: VirtualCluster,
    client: Client,
) -> anyhow::Result<()> {
    is_whole(&cluster, client).await
}

/// Pods run and show what the host says of them, services answer, and then nothing moves.
async fn is_whole(cluster: &VirtualCluster, client: Client) -> anyhow::Result<()> {
    let image = cluster.image(Component::Shell).await?;
    let pods: Api<Pod> = Api::default_namespaced(client.clone());
    let services: Api<Service> = Api::default_namespaced(client.clone());
    let spec = json!({"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": 8080}]});
    let web = service("web", &spec)?;
    let web = services.create(&PostParams::default(), &web).await?;
    let pod = start(&pods, &server("web", &image)?).await?;
    shows_its_twin(cluster, &pod).await?;

    // What a pod said comes from its logs.
    let answer = output_of(&pods, &visitor("by-name", &image, "http://web.default.svc")).await?;
    ensure!(answer.trim() == "web", "the service answered {answer:?}");
    let host_name = command::output(&pods, "web", ["hostname"]).await?;
    ensure!(host_name.trim() == "web", "exec gave {host_name:?}");
    has_addresses_of_its_own(cluster, &client, &web).await?;
    comes_to_rest(cluster).await
}

/// The status is the host's, in the terms of the tenant's API server.
async fn shows_its_twin(cluster: &VirtualCluster, pod: &Pod) -> anyhow::Result<()> {
    let twin = twin(cluster).await?;
    let (shown, real) = (
        pod.status.as_ref().context("no status")?,
        twin.status.as_ref().context("no status on host")?,
    );
    ensure!(shown.pod_ip.is_some() && shown.pod_ip == real.pod_ip);
    ensure!(shown.qos_class.is_some() && shown.qos_class == real.qos_class);
    let observed = shown.conditions.iter().flatten();
    let observed = observed.filter_map(|condition| condition.observed_generation);
    for seen in observed.chain(shown.observed_generation) {
        ensure!(
            Some(seen) <= pod.metadata.generation,
            "generation {seen} of {:?} was seen",
            pod.metadata.generation
        );
    }
    Ok(())
}

/// Addresses come from the cluster's slice, and an API server that has objects for ranges says so.
async fn has_addresses_of_its_own(
    cluster: &VirtualCluster,
    client: &Client,
    service: &Service,
) -> anyhow::Result<()> {
    let records = cluster::list(&cluster.host_client()).await?;
    let record = records.iter().find(|record| record.name == cluster.name());
    let slice = record.and_then(|record| record.slice).context("no slice")?;
    let spec = service.spec.as_ref().context("no spec")?;
    let address = spec.cluster_ip.as_ref().context("no address")?;
    ensure!(slice.contains(&address.parse::<IpAddr>()?), "{address}");
    if cluster.version().is_some_and(|version| version.minor >= 33) {
        let ranges = Api::<ServiceCIDR>::all(client.clone());
        let range = ranges.get("kubernetes").await?.spec.context("no range")?;
        ensure!(
            range.cidrs == Some(vec![slice.to_string()]),
            "{:?}",
            range.cidrs
        );
    }
    Ok(())
}

/// Waits until the syncer writes nothing from one look to the next. A field that only one side keeps would
/// be written for ever.
pub(crate) async fn comes_to_rest(cluster: &VirtualCluster) -> anyhow::Result<()> {
    let deadline = soon("a syncer at rest");
    let mut before = writes(cluster).await?;
    loop {
        tokio::time::sleep(Duration::from_secs(2)).await;
        let now = writes(cluster).await?;
        if now == before {
            return Ok(());
        }
        ensure!(
            !deadline.is_over(),
            "the syncer goes on writing:\n{before}\n{now}"
        );
        before = now;
    }
}

/// The syncer's counts of its writes, as it serves them.
async fn writes(cluster: &VirtualCluster) -> anyhow::Result<String> {
    let path = format!(
        "/api/v1/namespaces/{}/pods/{}-0:8080/proxy/metrics",
        cluster.namespace(),
        cluster.name()
    );
    let request = http::Request::get(path).body(Vec::new())?;
    let metrics = cluster.host_client().request_text(request).await?;
    let counts: Vec<_> = metrics
        .lines()
        .filter(|line| line.starts_with("vcluster_syncer_write_seconds_count"))
        .collect();
    ensure!(!counts.is_empty(), "there are no counts in {metrics}");
    Ok(counts.join("\n"))
}

#[vcluster_test(version = "1.33")]
async fn an_upgrade_keeps_objects_pods_and_clients(
    cluster: VirtualCluster,
    client: Client,
) -> anyhow::Result<()> {
    let before = Contents::make(&cluster, client.clone()).await?;
    let upgrade = cluster.upgrade("1.34").await?;
    assert_eq!(upgrade.to.minor_name(), "1.34");

    before.are_all_there(&cluster, client).await?;
    let again = cluster.upgrade("1.34").await?;
    assert_eq!((again.from, again.to), (upgrade.to, upgrade.to));
    comes_to_rest(&cluster).await
}

#[vcluster_test]
async fn an_upgrade_that_nothing_can_do_is_refused_with_the_nearest(
    cluster: VirtualCluster,
) -> anyhow::Result<()> {
    for (to, expected, nearest) in [
        ("1.36", Refusal::SkipsMinors, "1.35.4"),
        ("1.33", Refusal::Older, "1.35.4"),
    ] {
        let error = cluster.upgrade(to).await.unwrap_err();
        let words = error.to_string();
        let UpgradeError::Refused { reason, .. } = error else {
            bail!("{error:?}");
        };
        assert_eq!(reason, expected);
        ensure!(words.contains(nearest), "{words}");
    }
    let unknown = cluster.upgrade("1.99").await.unwrap_err();
    assert!(matches!(unknown, UpgradeError::Asset(_)), "{unknown:?}");
    let nonsense = cluster.upgrade("newest").await.unwrap_err();
    assert!(
        matches!(nonsense, UpgradeError::NoVersion(_)),
        "{nonsense:?}"
    );

    let found = cluster::connect(cluster.host(), cluster.name()).await?;
    let connected = found.upgrade("1.35").await.unwrap_err();
    assert!(
        matches!(connected, UpgradeError::OnlyConnected { .. }),
        "{connected:?}"
    );
    assert_eq!(cluster.version(), found.version());
    Ok(())
}

/// Every pair of neighbours is a test of its own: the cell says from where, and the body goes one further.
#[vcluster_test(matrix(
    distro = ["k8s", "k3s", "k0s"],
    version = ["1.31", "1.32", "1.33", "1.34", "1.35"]
))]
#[ignore = "needs all versions, which take an hour to build where no registry has them"]
async fn every_version_goes_to_the_next(
    cluster: VirtualCluster,
    client: Client,
) -> anyhow::Result<()> {
    announce(&cluster)?;
    let before = Contents::make(&cluster, client.clone()).await?;
    let version = cluster.version().context("no version")?;
    cluster.upgrade(version.next_minor()).await?;
    before.are_all_there(&cluster, client).await
}

/// Pods of a control plane are upgraded one at a time, so the API answers all the while but for what goes to
/// the one that is away.
#[vcluster_test(version = "1.33", replicas = 3, timeout = "10m")]
#[ignore = "takes a minute and three times the memory"]
async fn several_pods_are_upgraded_while_the_api_answers(
    cluster: VirtualCluster,
    client: Client,
) -> anyhow::Result<()> {
    let before = Contents::make(&cluster, client.clone()).await?;
    let upgraded = CancellationToken::new();
    let (upgrade, longest) = tokio::join!(
        async {
            let upgrade = cluster.upgrade("1.34").await;
            upgraded.cancel();
            upgrade
        },
        longest_silence(client.clone(), &upgraded),
    );
    assert_eq!(upgrade?.to.minor_name(), "1.34");
    // One that is alone is away for longer: it has to be started.
    ensure!(longest < TWO_TRIES, "no answer for {longest:?}");
    before.are_all_there(&cluster, client).await
}

/// What a client waits that tries again once, where a request may wait five seconds for a server that is gone.
const TWO_TRIES: Duration = Duration::from_secs(10);

/// Writes all the time until it is told to end, and gives the longest time for which no write succeeded.
async fn longest_silence(client: Client, end: &CancellationToken) -> Duration {
    let maps: Api<ConfigMap> = Api::default_namespaced(client);
    let params = PatchParams::apply("e2e").force();
    let (mut longest, mut last, mut count) = (Duration::ZERO, Instant::now(), 0);
    while !end.is_cancelled() {
        count += 1;
        let map = json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": "count"}, "data": {"count": count.to_string()},
        });
        let map = Patch::Apply(&map);
        let write = maps.patch("count", &params, &map);
        let written = tokio::time::timeout(Duration::from_secs(5), write).await;
        if matches!(written, Ok(Ok(_))) {
            longest = longest.max(last.elapsed());
            last = Instant::now();
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    longest.max(last.elapsed())
}

/// The other way to write a matrix of ways: cases of rstest.
#[rstest]
#[case::one_further(&["1.34"])]
#[case::two_further(&["1.34", "1.35"])]
#[test_attr(vcluster_test(version = "1.33"))]
#[ignore = "needs a newer version, which takes minutes to build where no registry has it"]
async fn data_outlives_a_way_of_several_steps(
    #[ignore] cluster: VirtualCluster,
    #[case] steps: &[&str],
) -> anyhow::Result<()> {
    let client = cluster.client();
    let before = Contents::make(&cluster, client.clone()).await?;
    for step in steps {
        cluster.upgrade(*step).await?;
    }
    before.are_all_there(&cluster, client).await
}

/// What a cluster had before its upgrade.
struct Contents {
    image: String,
    config_map: ConfigMap,
    service: Service,
    pod: Pod,
    twin: Pod,
}

impl Contents {
    async fn make(cluster: &VirtualCluster, client: Client) -> anyhow::Result<Self> {
        let image = cluster.image(Component::Shell).await?;
        let post = PostParams::default();
        let config_map = ConfigMap {
            metadata: ObjectMeta {
                name: Some("settings".to_owned()),
                ..ObjectMeta::default()
            },
            data: Some([("color".to_owned(), "red".to_owned())].into()),
            ..ConfigMap::default()
        };
        let config_maps: Api<ConfigMap> = Api::default_namespaced(client.clone());
        let config_map = config_maps.create(&post, &config_map).await?;
        let spec = json!({"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": 8080}]});
        let services: Api<Service> = Api::default_namespaced(client.clone());
        let service = services.create(&post, &service("web", &spec)?).await?;
        let pods: Api<Pod> = Api::default_namespaced(client);
        let pod = start(&pods, &server("web", &image)?).await?;
        Ok(Self {
            image,
            config_map,
            service,
            twin: twin(cluster).await?,
            pod,
        })
    }

    async fn are_all_there(&self, cluster: &VirtualCluster, client: Client) -> anyhow::Result<()> {
        // The API server is the new one, for clients of before and for new ones.
        let version = cluster.version().context("no version")?;
        let options = KubeConfigOptions::default();
        let config =
            kube::Config::from_custom_kubeconfig(cluster.kubeconfig().clone(), &options).await?;
        for client in [client.clone(), Client::try_from(config)?] {
            let says = client.apiserver_version().await?.git_version;
            ensure!(says == format!("v{version}"), "it says {says}");
        }
        let found = cluster::connect(cluster.host(), cluster.name()).await?;
        ensure!(found.version() == Some(version), "{:?}", found.version());

        // Objects are the same ones.
        let config_maps: Api<ConfigMap> = Api::default_namespaced(client.clone());
        ensure!(config_maps.get("settings").await? == self.config_map);
        let services: Api<Service> = Api::default_namespaced(client.clone());
        let service = services.get("web").await?;
        ensure!(service.uid() == self.service.uid() && service.spec == self.service.spec);

        // The pod has not noticed.
        let pods: Api<Pod> = Api::default_namespaced(client.clone());
        let pod = pods.get("web").await?;
        ensure!(pod.uid() == self.pod.uid());
        let twin = twin(cluster).await?;
        ensure!(twin.uid() == self.twin.uid());
        let restarts = |pod: &Pod| {
            let statuses = pod.status.as_ref()?.container_statuses.as_ref()?;
            Some(
                statuses
                    .iter()
                    .map(|status| status.restart_count)
                    .sum::<i32>(),
            )
        };
        ensure!(restarts(&twin) == Some(0) && restarts(&pod) == Some(0));
        let host_name = command::output(&pods, "web", ["hostname"]).await?;
        ensure!(host_name.trim() == "web", "exec gave {host_name:?}");

        // Controllers and the syncer are at work: accounts come with namespaces, pods run and find others.
        let namespaces: Api<Namespace> = Api::all(client.clone());
        let late = ObjectMeta {
            name: Some("late".to_owned()),
            ..ObjectMeta::default()
        };
        let late = Namespace {
            metadata: late,
            ..Namespace::default()
        };
        namespaces.create(&PostParams::default(), &late).await?;
        let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), "late");
        let exists = |account: Option<&ServiceAccount>| account.is_some();
        wait::until(&accounts, "default", exists, soon("made")).await?;
        let late_pods: Api<Pod> = Api::namespaced(client, "late");
        let asking = visitor("asking", &self.image, "http://web.default");
        let answer = output_of(&late_pods, &asking).await?;
        ensure!(answer.trim() == "web", "the service answered {answer:?}");
        Ok(())
    }
}

/// The pod that really runs.
async fn twin(cluster: &VirtualCluster) -> anyhow::Result<Pod> {
    let pods: Api<Pod> = Api::namespaced(cluster.host_client(), cluster.namespace());
    let key = cluster.host_key("default", "web");
    pods.get(&key.name).await.context("no twin on host")
}
