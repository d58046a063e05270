//! `#[vcluster_test]` on a real host: what a test is given, and what is left when it has ended.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::OnceLock,
    time::Duration,
};

use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use kube::{
    Api, Client,
    api::{ObjectMeta, PostParams},
    config::{KubeConfigOptions, Kubeconfig},
};
use rstest::{fixture, rstest};
use vcluster_harness::{
    self as vcluster,
    asset::Assets,
    cluster::VirtualCluster,
    host,
    progress::Progress,
    settings::{Keep, Settings},
    testing::{self, Outcome, TestInfo, TestSpec, fixtures::client},
    vcluster_test,
};

#[vcluster_test(distro = "k8s", version = "1.34")]
async fn every_argument_is_of_the_same_cluster(
    cluster: VirtualCluster,
    client: Client,
    kubeconfig: Kubeconfig,
    test: TestInfo,
) -> anyhow::Result<()> {
    assert!(test.path.ends_with("every_argument_is_of_the_same_cluster"));
    assert_eq!(client.apiserver_version().await?.minor, "34");
    write(&client, "from-the-client").await?;

    let options = KubeConfigOptions::default();
    let config = kube::Config::from_custom_kubeconfig(kubeconfig, &options).await?;
    let by_kubeconfig = Client::try_from(config)?;
    for client in [cluster.client(), by_kubeconfig] {
        Api::<ConfigMap>::default_namespaced(client)
            .get("from-the-client")
            .await?;
    }
    Ok(())
}

#[vcluster_test]
async fn two_clusters_do_not_see_each_other(
    left: VirtualCluster,
    left_client: Client,
    right: VirtualCluster,
    right_client: Client,
) -> anyhow::Result<()> {
    assert_ne!(left.name(), right.name());
    write(&left_client, "left").await?;
    let right = Api::<ConfigMap>::default_namespaced(right_client);
    assert!(right.get_opt("left").await?.is_none());
    Ok(())
}

#[vcluster_test]
#[should_panic(expected = "the cluster is there")]
async fn a_wanted_panic_comes_from_the_body(client: Client) {
    let version = client.apiserver_version().await.expect("it answers");
    panic!("the cluster is there: {}", version.git_version);
}

#[vcluster_test(flavor = "current_thread")]
async fn one_thread_is_enough(client: Client) -> Result<(), kube::Error> {
    client.apiserver_version().await.map(drop)
}

struct Greeting(Client);

#[fixture]
fn greeting(client: Client) -> Greeting {
    Greeting(client)
}

#[rstest]
#[case::short("hello")]
#[case::long("good-evening")]
#[vcluster::test]
async fn cases_have_clusters_of_their_own(
    greeting: Greeting,
    #[case] name: &str,
) -> anyhow::Result<()> {
    write(&greeting.0, name).await?;
    let names = Api::<ConfigMap>::default_namespaced(greeting.0)
        .list(&kube::api::ListParams::default())
        .await?;
    let written = names
        .items
        .iter()
        .filter_map(|object| object.metadata.name.as_deref());
    let written: Vec<_> = written.filter(|name| *name != "kube-root-ca.crt").collect();
    assert_eq!(written, [name]);
    Ok(())
}

#[rstest]
#[case::one(1)]
#[test_attr(vcluster_test(version = "1.34"))]
async fn the_attribute_may_be_named_to_rstest(
    #[ignore] cluster: VirtualCluster,
    #[case] count: usize,
) -> anyhow::Result<()> {
    for number in 0..count {
        write(&cluster.client(), &format!("number-{number}")).await?;
    }
    Ok(())
}

#[test]
fn a_test_that_passes_leaves_nothing() {
    let run = run(
        "a_test_that_passes_leaves_nothing",
        |spec| spec,
        async |_| (),
    );
    run.outcome.unwrap();
    assert!(!is_there(&run.cluster));
}

#[test]
fn a_test_that_panics_leaves_a_bundle_and_no_cluster() {
    let run = run(
        "a_test_that_panics_leaves_a_bundle_and_no_cluster",
        |spec| spec,
        async |_| {
            boom();
        },
    );
    assert_eq!(run.outcome.unwrap_err(), "boom");
    assert!(!is_there(&run.cluster));
}

#[test]
fn a_test_that_returns_an_error_leaves_no_cluster() {
    let run = run(
        "a_test_that_returns_an_error_leaves_no_cluster",
        |spec| spec,
        async |client| {
            let missing = Api::<ConfigMap>::default_namespaced(client);
            missing.get("missing").await.map(drop)
        },
    );
    let error = run.outcome.unwrap().unwrap_err();
    assert!(matches!(error, kube::Error::Api(status) if status.is_not_found()));
    assert!(!is_there(&run.cluster));
}

#[test]
fn a_test_that_does_not_end_leaves_no_cluster() {
    let name = "a_test_that_does_not_end_leaves_no_cluster";
    let run = run(
        name,
        |spec| spec.timeout(Duration::from_secs(1)),
        async |_| {
            std::future::pending::<()>().await;
        },
    );
    let text = run.outcome.unwrap_err();
    assert!(
        text.starts_with("the test was still running after 1s, its timeout"),
        "{text}"
    );
    assert!(!is_there(&run.cluster));
}

#[test]
fn a_failed_test_keeps_its_cluster_when_told_so() {
    let name = "a_failed_test_keeps_its_cluster_when_told_so";
    let run = run(name, |spec| spec.keep(Keep::OnFailure), async |_| boom());
    assert_eq!(run.outcome.unwrap_err(), "boom");
    assert!(is_there(&run.cluster));
    delete(&run.cluster);
    assert!(!is_there(&run.cluster));
}

#[test]
fn a_version_that_is_not_there_is_a_set_up_failure_with_the_nearest() {
    let name = "a_version_that_is_not_there_is_a_set_up_failure_with_the_nearest";
    let run = run(name, |spec| spec.version("1.7"), async |_| ());
    let text = run.outcome.unwrap_err();
    assert!(text.starts_with("vcluster set-up failed: "), "{text}");
    assert!(text.contains("1.7") && text.contains("1.31"), "{text}");
    assert!(run.cluster.is_empty(), "the body was not run");
}

/// What became of a test that was run by hand.
struct Run<R> {
    /// What it returned, or the text of its panic.
    outcome: Result<R, String>,
    /// Its cluster; empty when its body was not run.
    cluster: String,
}

/// Runs a body as the attribute does. `name` must be that of the calling test: its binary is run again
/// with that name to become the reaper.
fn run<R: Outcome>(
    name: &'static str,
    change: impl FnOnce(TestSpec) -> TestSpec,
    body: impl AsyncFnOnce(Client) -> R,
) -> Run<R> {
    let cluster = OnceLock::new();
    let spec = change(TestSpec::new(module_path!(), name));
    let run = || {
        let slot = testing::slot::<VirtualCluster>();
        testing::run(spec, &[slot.need()], async |given| {
            let made = given.next(&slot).await?;
            let client = made.client();
            cluster.get_or_init(|| made.name().to_owned());
            Ok(body(client))
        })
    };
    let outcome = catch_unwind(AssertUnwindSafe(run)).map_err(|payload| {
        let text = payload.downcast_ref::<String>().cloned();
        text.or_else(|| {
            payload
                .downcast_ref::<&str>()
                .map(|text| (*text).to_owned())
        })
        .expect("a panic has a text")
    });
    Run {
        outcome,
        cluster: cluster.into_inner().unwrap_or_default(),
    }
}

/// A call and not the macro: the body of a test is a unit, not a never.
fn boom() {
    panic!("boom");
}

async fn write(client: &Client, name: &str) -> Result<ConfigMap, kube::Error> {
    let object = ConfigMap {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            ..ObjectMeta::default()
        },
        ..ConfigMap::default()
    };
    let api = Api::default_namespaced(client.clone());
    api.create(&PostParams::default(), &object).await
}

/// A namespace that ends counts as gone: the host completes it.
fn is_there(cluster: &str) -> bool {
    on_host(async |host| {
        let namespace = Api::<Namespace>::all(host).get_opt(cluster).await?;
        Ok(namespace.is_some_and(|namespace| namespace.metadata.deletion_timestamp.is_none()))
    })
}

fn delete(cluster: &str) {
    on_host(async |host| Ok(vcluster_harness::cluster::delete(&host, cluster).await?));
}

fn on_host<T>(action: impl AsyncFnOnce(Client) -> anyhow::Result<T>) -> T {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime starts");
    let answer = runtime.block_on(async {
        let settings = Settings::from_process()?;
        let progress = Progress::silent();
        let assets = Assets::new(&settings, progress.clone());
        let host = host::shared(&settings, &assets, &progress).await?;
        action(host.client().await?).await
    });
    answer.expect("the host answers")
}
