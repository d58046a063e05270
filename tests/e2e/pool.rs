//! Clusters that go from test to test: what a later one finds, and what becomes of those that cannot go on.

use std::{
    sync::{
        Arc,
        mpsc::{self, RecvTimeoutError},
    },
    time::Duration,
};

use anyhow::{Context as _, ensure};
use e2e::soon;
use futures::{StreamExt as _, TryStreamExt as _};
use k8s_openapi::{
    api::{
        authentication::v1::{TokenRequest, TokenReview, TokenReviewSpec},
        core::v1::{ConfigMap, Namespace, Pod, Secret, ServiceAccount},
        rbac::v1::ClusterRole,
    },
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{
    Api, Client, Config, ResourceExt as _,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams, WatchEvent, WatchParams},
    config::{KubeConfigOptions, Kubeconfig},
    core::ObjectMeta,
};
use rstest::rstest;
use serde_json::{Value, json};
use vcluster_harness::{
    asset::Assets,
    cluster::{Phase, VirtualCluster, connect},
    datastore::Datastore,
    distro::{Distro, K0s, K3s, K8s},
    fixture::{Fixture, Fixtures, Manifest},
    host::{self, HostCluster},
    lease::{HostAccess, Session},
    pool::{Pool, PoolState, Since},
    progress::Progress,
    reaper::{self, Restart},
    settings::{Keep, Settings},
    vcluster_test,
};

use crate::{
    child::{Inner, Runner, announce, is_inner, parent_is_gone},
    reaper::wait_for_end_of,
    reset::make,
    stand_in::StandIn,
    watcher::{self, host_client},
};

/// What these tests' clusters have and no others', so that nobody else takes one of them.
static SEED: &[&dyn Fixture] = &[&Manifest {
    name: "seed",
    yaml: "
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: seeds.example.org}
spec:
  group: example.org
  names: {kind: Seed, plural: seeds}
  scope: Namespaced
  versions: [{name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object}}}]
---
apiVersion: example.org/v1
kind: Seed
metadata: {name: of-the-pool}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: seed}
data: {color: red}
",
}];

const POOL: Pool = Pool {
    size: 4,
    idle: Duration::from_mins(1),
    reset: Duration::from_secs(30),
    since: Since::First,
};

/// How long something may take to be seen that is there, or to end that has to.
const PATIENCE: Duration = Duration::from_secs(30);

/// Where the clusters of a test are from.
struct Place {
    kind: Kind,
    host: HostCluster,
    assets: Assets,
    session: Arc<Session>,
    client: Client,
}

/// A test that is a reaper when it is asked to be one.
const REAPER: &str = "pool::what_cannot_go_on_is_deleted";

/// What clusters of a test are.
struct Kind {
    distro: &'static dyn Distro,
    store: Datastore,
}

const USUAL: Kind = Kind {
    distro: &K8s,
    store: Datastore::Etcd,
};

/// Runs a test that may be started once more as a reaper.
fn test(kind: Kind, body: impl AsyncFnOnce(Place) -> anyhow::Result<()>) -> anyhow::Result<()> {
    reaper::run_if_asked();
    let runtime = tokio::runtime::Runtime::new()?;
    runtime.block_on(async {
        let settings = Settings::from_process()?;
        let progress = Progress::silent();
        let assets = Assets::new(&settings, progress.clone());
        let host = host::shared(&settings, &assets, &progress).await?;
        let client = host.client().await?;
        let access = HostAccess::new(&host, &client);
        let restart = Restart::Test(REAPER.to_owned());
        let session = Session::for_process(&settings, access, &restart).await?;
        let stand_in = match kind.distro.name() {
            "k8s" => None,
            // The one version of which this project has run all parts.
            _ => Some(StandIn::of(kind.distro, "1.34.2".parse()?).await?),
        };
        let assets = stand_in.as_ref().map_or(assets, |it| it.assets.clone());
        let place = Place {
            kind,
            host,
            assets,
            session,
            client,
        };
        body(place).await
    })
}

impl Place {
    async fn start(&self, pool: Pool) -> anyhow::Result<VirtualCluster> {
        let number = std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), "pool");
        let name = format!("vc-{:08x}", number >> 32);
        let builder = VirtualCluster::builder(&name)
            .distro(self.kind.distro)
            .store(self.kind.store.clone())
            .owner(self.session.owner("pool", Keep::Never))
            .fixtures(Fixtures(SEED))
            .pooled(pool);
        Ok(Box::pin(builder.start(&self.host, &self.assets)).await?)
    }

    async fn state(&self, namespace: &str) -> anyhow::Result<Option<PoolState>> {
        let found = Api::<Namespace>::all(self.client.clone());
        let found = found.get_opt(namespace).await?;
        let stays = found.filter(|found| found.metadata.deletion_timestamp.is_none());
        Ok(stays.and_then(|found| PoolState::of(&found.metadata)))
    }
}

fn config_map(name: &str) -> ConfigMap {
    ConfigMap {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            ..ObjectMeta::default()
        },
        ..ConfigMap::default()
    }
}

/// Watches from a process and a runtime of its own, and gives the names that it sees until its end.
fn watch_elsewhere(kubeconfig: Kubeconfig) -> anyhow::Result<mpsc::Receiver<String>> {
    let (seen, names) = mpsc::channel();
    let runtime = tokio::runtime::Runtime::new()?;
    std::thread::spawn(move || {
        runtime.block_on(async {
            let options = KubeConfigOptions::default();
            let config = Config::from_custom_kubeconfig(kubeconfig, &options).await?;
            let maps: Api<ConfigMap> = Api::default_namespaced(Client::try_from(config)?);
            let mut events = maps.watch(&WatchParams::default(), "0").await?.boxed();
            while let Some(event) = events.try_next().await? {
                if let WatchEvent::Added(map) = event {
                    seen.send(map.name_any())?;
                }
            }
            anyhow::Ok(())
        })
    });
    Ok(names)
}

/// What was seen until there is nothing more to see; fails if there may be.
fn all_of(watched: &mpsc::Receiver<String>) -> anyhow::Result<Vec<String>> {
    let mut seen = Vec::new();
    loop {
        match watched.recv_timeout(PATIENCE) {
            Ok(name) => seen.push(name),
            Err(RecvTimeoutError::Disconnected) => return Ok(seen),
            Err(RecvTimeoutError::Timeout) => anyhow::bail!("the watch goes on after {seen:?}"),
        }
    }
}

/// A client with the user of one kubeconfig at the address of another.
async fn by_another_way(mut user: Kubeconfig, address: &Kubeconfig) -> anyhow::Result<Client> {
    user.clusters.clone_from(&address.clusters);
    let options = KubeConfigOptions::default();
    let config = Config::from_custom_kubeconfig(user, &options).await?;
    Ok(Client::try_from(config)?)
}

/// What a test leaves that names somebody: an account and a token of it.
struct Account {
    uid: Option<String>,
    token: String,
}

impl Account {
    async fn of(client: &Client) -> anyhow::Result<Self> {
        let accounts: Api<ServiceAccount> = Api::default_namespaced(client.clone());
        let request = TokenRequest::default();
        let minted = accounts
            .create_token_request("default", &PostParams::default(), &request)
            .await?;
        Ok(Self {
            uid: accounts.get("default").await?.uid(),
            token: minted.status.context("no token")?.token.unwrap_or_default(),
        })
    }

    async fn counts(&self, client: &Client) -> anyhow::Result<bool> {
        let review = TokenReview {
            spec: TokenReviewSpec {
                token: self.token.clone(),
                ..TokenReviewSpec::default()
            },
            ..TokenReview::default()
        };
        let reviews: Api<TokenReview> = Api::all(client.clone());
        let reviewed = reviews.create(&PostParams::default(), &review).await?;
        let status = reviewed.status.unwrap_or_default();
        Ok(status.authenticated == Some(true))
    }
}

/// A definition that no cluster has from the start.
fn definition() -> Value {
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "things.example.org"},
        "spec": {
            "group": "example.org", "names": {"kind": "Thing", "plural": "things"},
            "scope": "Namespaced",
            "versions": [{
                "name": "v1", "served": true, "storage": true,
                "schema": {"openAPIV3Schema": {"type": "object"}},
            }],
        },
    })
}

#[rstest]
#[case::k8s(USUAL)]
#[case::k8s_with_kine(Kind { store: Datastore::Kine, ..USUAL })]
#[case::k3s(Kind { distro: &K3s, store: Datastore::Kine })]
#[case::k3s_with_etcd(Kind { distro: &K3s, store: Datastore::Etcd })]
#[case::k0s(Kind { distro: &K0s, store: Datastore::Kine })]
#[case::k0s_with_etcd(Kind { distro: &K0s, store: Datastore::Etcd })]
fn a_later_test_finds_nothing_of_an_earlier_one(#[case] kind: Kind) -> anyhow::Result<()> {
    test(kind, async |place| {
        let first = place.start(POOL).await?;
        let phases = first.phases();
        ensure!(phases.get(Phase::Saved).is_some(), "{phases}");
        let (name, kubeconfig) = (first.name().to_owned(), first.kubeconfig().clone());
        let maps: Api<ConfigMap> = Api::default_namespaced(first.client());
        let at_once = PostParams::default();
        maps.create(&at_once, &config_map("of-the-first")).await?;
        maps.delete("seed", &DeleteParams::default()).await?;
        make(&first.client(), definition()).await?;
        let account = Account::of(&first.client()).await?;
        ensure!(account.counts(&first.client()).await?);
        let watched = watch_elsewhere(kubeconfig.clone())?;
        while watched.recv_timeout(PATIENCE)? != "of-the-first" {}
        // The last thing that it may do.
        let roles: Api<ClusterRole> = Api::all(first.client());
        roles
            .delete("cluster-admin", &DeleteParams::default())
            .await?;
        first.give_back().await?;
        ensure!(place.state(&name).await? == Some(PoolState::Idle));
        let (owner, session) = watcher::owner(&place.client, &name).await?;
        ensure!(owner.is_some_and(|owner| owner.process.is_none()) && session.is_none());

        let second = place.start(POOL).await?;
        let phases = second.phases();
        ensure!(second.name() == name && phases.get(Phase::Taken).is_some());
        let theirs: Api<ConfigMap> = Api::default_namespaced(second.client());
        let found = theirs.list(&ListParams::default()).await?;
        let names: Vec<_> = found.iter().map(kube::ResourceExt::name_any).collect();
        ensure!(names == ["kube-root-ca.crt", "seed"], "{names:?}");
        let definitions: Api<CustomResourceDefinition> = Api::all(second.client());
        ensure!(definitions.get_opt("things.example.org").await?.is_none());
        ensure!(definitions.get_opt("seeds.example.org").await?.is_some());
        theirs
            .create(&at_once, &config_map("of-the-second"))
            .await?;

        // What is open from before is not any more, and nothing can be opened anew.
        let seen = all_of(&watched)?;
        ensure!(!seen.contains(&"of-the-second".to_owned()), "{seen:?}");
        let list = ListParams::default();
        let asked = tokio::time::timeout(Duration::from_secs(3), maps.list(&list));
        ensure!(
            !matches!(asked.await, Ok(Ok(_))),
            "the client of before is answered"
        );
        let client = by_another_way(kubeconfig, second.kubeconfig()).await?;
        match Api::<Secret>::all(client).list(&list).await {
            Err(kube::Error::Api(status)) if status.code == 403 => {}
            other => anyhow::bail!("the rights of before still count: {other:?}"),
        }
        let renewed = Account::of(&second.client()).await?;
        ensure!(renewed.uid != account.uid, "{:?}", account.uid);
        // An API server trusts for ten seconds what it has once found to be true.
        let deadline = soon("refused");
        while account.counts(&second.client()).await? {
            ensure!(!deadline.is_over(), "the token of before still counts");
            tokio::time::sleep(Duration::from_millis(500)).await;
        }

        // Nobody knows what was done on the host.
        drop(second.host_client());
        second.give_back().await?;
        ensure!(place.state(&name).await?.is_none());
        Ok(())
    })
}

#[test]
fn what_cannot_go_on_is_deleted() -> anyhow::Result<()> {
    test(USUAL, async |place| {
        let first = place.start(POOL).await?;
        let name = first.name().to_owned();
        first.give_back().await?;
        // It dies while it waits.
        let pods: Api<Pod> = Api::namespaced(place.client.clone(), &name);
        let at_once = DeleteParams::default().grace_period(0);
        pods.delete(&format!("{name}-0"), &at_once).await?;

        let short = Pool {
            reset: Duration::from_secs(4),
            ..POOL
        };
        let second = place.start(short).await?;
        ensure!(second.name() != name, "the dead one was taken");
        ensure!(!watcher::stays(&place.client, &name).await?);

        // Somebody whom no reset stops goes on and on.
        let name = second.name().to_owned();
        let root = connect(&place.host, &name).await?;
        let maps: Api<ConfigMap> = Api::default_namespaced(root.client());
        let vandal = tokio::spawn(async move {
            for number in 0.. {
                let map = config_map(&format!("map-{number}"));
                drop(maps.create(&PostParams::default(), &map).await);
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
        second.give_back().await?;
        vandal.abort();
        ensure!(!watcher::stays(&place.client, &name).await?);
        Ok(())
    })
}

/// What it remembers of what a test wrote is more than the next test would have any use for.
#[test]
fn a_store_that_grew_beyond_its_limit_is_not_handed_on() -> anyhow::Result<()> {
    test(USUAL, async |place| {
        let cluster = place.start(POOL).await?;
        let maps: Api<ConfigMap> = Api::default_namespaced(cluster.client());
        // One object, again and again: the store keeps what it was.
        for number in 0..200 {
            let letter = char::from(b'a' + u8::try_from(number % 26)?);
            let map = json!({
                "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "large"},
                "data": {"text": letter.to_string().repeat(1000 << 10)},
            });
            let parameters = PatchParams::apply("test").force();
            maps.patch("large", &parameters, &Patch::Apply(map)).await?;
        }
        let name = cluster.name().to_owned();
        cluster.give_back().await?;
        ensure!(!watcher::stays(&place.client, &name).await?);
        Ok(())
    })
}

/// Tests that are run in processes of their own. Each kind of cluster is for one of the tests below.
mod inner {
    use super::*;

    pub(super) const HANDED_ON: Manifest = Manifest {
        name: "handed-on",
        yaml: "{apiVersion: v1, kind: ConfigMap, metadata: {name: handed-on}}",
    };

    pub(super) const LEFT: Manifest = Manifest {
        name: "left",
        yaml: "{apiVersion: v1, kind: ConfigMap, metadata: {name: left}}",
    };

    #[vcluster_test(fixtures = [HANDED_ON])]
    #[ignore = "run by another test"]
    async fn passes(cluster: VirtualCluster) -> anyhow::Result<()> {
        Api::<ConfigMap>::default_namespaced(cluster.client())
            .get("handed-on")
            .await?;
        announce(&cluster)
    }

    #[vcluster_test(fixtures = [HANDED_ON], timeout = "10m")]
    #[ignore = "run by another test"]
    async fn waits(cluster: VirtualCluster) -> anyhow::Result<()> {
        announce(&cluster)?;
        if is_inner() {
            parent_is_gone().await;
        }
        Ok(())
    }

    #[vcluster_test(fixtures = [LEFT])]
    #[ignore = "run by another test"]
    async fn is_left(cluster: VirtualCluster) -> anyhow::Result<()> {
        announce(&cluster)
    }
}

const SHARED: [(&str, &str); 3] = [
    ("VCLUSTER_TEST_POOL", "4"),
    ("VCLUSTER_TEST_POOL_IDLE", "1m"),
    ("VCLUSTER_TEST_LOG", "vcluster_harness=debug"),
];

#[tokio::test]
async fn processes_share_clusters_and_what_a_killed_one_had_is_deleted() -> anyhow::Result<()> {
    let host = host_client().await?;
    // Another process takes it, and is killed while it puts it back.
    let (mut second, cluster) = handed_on("pool::inner::passes")?;
    let session = second.after("begun session=");
    second.after("resetting cluster=");
    second.kill_group();
    second.end();
    wait_for_end_of(&session).await?;
    watcher::is_gone(&host, &cluster).await?;

    // The next one has it no more, and the one after that is killed while it uses its own.
    let (mut fourth, other) = handed_on("pool::inner::waits")?;
    ensure!(other != cluster);
    let session = fourth.after("begun session=");
    fourth.kill_group();
    fourth.end();
    wait_for_end_of(&session).await?;
    watcher::is_gone(&host, &other).await
}

/// A process that runs this inner test on a cluster that another process has left. On a machine without
/// room for what waits, it is tried again.
fn handed_on(test: &str) -> anyhow::Result<(Inner, String)> {
    for _ in 0..5 {
        let mut first = Runner::Nextest.start("pool::inner::passes", &SHARED)?;
        let cluster = first.cluster();
        let ended = first.end();
        ensure!(ended.status.success(), "{}", ended.output);
        let mut next = Runner::Nextest.start(test, &SHARED)?;
        if next.cluster() == cluster {
            return Ok((next, cluster));
        }
        next.kill_group();
        next.end();
    }
    anyhow::bail!("no cluster was handed on")
}

#[tokio::test]
async fn what_nobody_comes_for_is_deleted_when_all_processes_are_gone() -> anyhow::Result<()> {
    let host = host_client().await?;
    let short = [
        ("VCLUSTER_TEST_POOL", "4"),
        ("VCLUSTER_TEST_POOL_IDLE", "1s"),
    ];
    let mut last = Runner::Nextest.start("pool::inner::is_left", &short)?;
    let cluster = last.cluster();
    let ended = last.end();
    ensure!(ended.status.success(), "{}", ended.output);
    watcher::is_gone(&host, &cluster).await
}
