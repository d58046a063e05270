//! The pool on a host that only knows namespaces: who gets what waits, and what does not wait for ever.

use std::{convert::Infallible, time::Duration};

use futures::{StreamExt as _, stream};
use http::{Request, Response};
use http_body_util::StreamBody;
use hyper::body::{Bytes, Frame};
use k8s_openapi::{api::core::v1::Namespace, apimachinery::pkg::apis::meta::v1::ObjectMeta};

use super::{
    Ingredients, Pool, PoolKey, PoolState, Since, Standing, Stock, claim, keep_watch, labels,
    make_room, record::key, shelve,
};
use crate::{
    asset::Component,
    distro::{self, ControlPlaneContext, Distro as _, Replicas},
    owner::{Owner, Process},
    reaper::fake_host::{FakeHost, client},
};

fn pool(idle: u64) -> Pool {
    Pool {
        size: 2,
        idle: Duration::from_secs(idle),
        reset: Duration::from_secs(1),
        since: Since::First,
    }
}

fn key_with(fixtures: &str) -> PoolKey {
    let version = "1.34.2".parse().unwrap();
    let cx = ControlPlaneContext::of(Replicas {
        set: "web",
        namespace: "web",
        count: 1,
    });
    PoolKey::of(&Ingredients {
        distro: "k8s",
        version,
        sync: &vcluster_syncer::config::Sync::default(),
        domain: "cluster.local",
        slice_bits: 8,
        control_plane: &distro::K8s.control_plane(version, &cx),
        images: &[(Component::Syncer, "syncer:1".to_owned())].into(),
        fixtures,
    })
}

fn owner(session: &str) -> Owner {
    Owner {
        process: Some(Process {
            pid: 1,
            start_time: 1,
        }),
        session: session.to_owned(),
        ..Owner::standing()
    }
}

/// The host has a runtime of its own, which must not end on another one.
fn with_host(body: impl AsyncFnOnce(&FakeHost)) {
    let host = FakeHost::start();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(body(&host));
}

/// A cluster that a test of session `s0` has.
fn add(host: &FakeHost, name: &str, key: &PoolKey) {
    let owner = owner("s0");
    let mut labels = labels(key, Standing::Member);
    labels.extend(owner.labels());
    host.add(Namespace {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            labels: Some(labels),
            annotations: Some(owner.annotations()),
            ..ObjectMeta::default()
        },
        ..Namespace::default()
    });
}

async fn leave(host: &FakeHost, name: &str, idle: u64) {
    let client = client(&host.url()).await;
    let owner = owner("s0");
    let left = shelve(&client, name, &owner, "u1:0", pool(idle)).await;
    left.unwrap();
}

#[test]
fn of_many_that_want_one_cluster_one_gets_it() {
    with_host(async |host| {
        let key = key_with("");
        add(host, "vc-1", &key);
        leave(host, "vc-1", 60).await;
        let claims = (1..=8).map(async |number| {
            let client = client(&host.url()).await;
            let stock = Stock::read(&client, &key).await.unwrap();
            claim(&client, &stock, &owner(&format!("s{number}")))
                .await
                .unwrap()
        });
        let claims = futures::future::join_all(claims).await;
        let taken: Vec<_> = claims.into_iter().flatten().collect();
        assert_eq!(taken.len(), 1, "{taken:?}");
        assert_eq!(PoolState::of(&taken[0]), Some(PoolState::InUse));
        assert_eq!(taken[0].annotations.as_ref().unwrap()[key::USES], "1");
        let session = host.owner("vc-1").session;
        assert_eq!(host.of_session(&session), ["vc-1"]);
    });
}

#[test]
fn only_what_waits_and_is_the_same_is_taken() {
    with_host(async |host| {
        add(host, "vc-in-use", &key_with(""));
        add(host, "vc-other", &key_with("others"));
        leave(host, "vc-other", 60).await;
        let client = client(&host.url()).await;
        let stock = Stock::read(&client, &key_with("")).await.unwrap();
        let taken = claim(&client, &stock, &owner("s1")).await.unwrap();
        assert_eq!(taken, None);
    });
}

#[test]
fn there_are_never_more_than_may_wait() {
    with_host(async |host| {
        for name in ["vc-1", "vc-2", "vc-3"] {
            add(host, name, &key_with(name));
            leave(host, name, 60).await;
            make_room(&client(&host.url()).await, pool(60))
                .await
                .unwrap();
        }
        assert_eq!(host.namespaces().len(), 2);
    });
}

#[test]
fn the_keeper_stays_until_nothing_waits() {
    with_host(async |host| {
        let key = key_with("");
        for name in ["vc-1", "vc-2", "vc-in-use"] {
            add(host, name, &key);
        }
        leave(host, "vc-1", 0).await;
        leave(host, "vc-2", 1).await;
        let cache = tempfile::tempdir().unwrap();
        let client = client(&host.url()).await;
        let kept = keep_watch(&client, "kind", cache.path());
        tokio::time::timeout(Duration::from_secs(30), kept)
            .await
            .expect("it ends")
            .unwrap();
        assert_eq!(host.namespaces(), ["vc-in-use"]);
    });
}

#[test]
fn there_is_one_keeper() {
    with_host(async |host| {
        add(host, "vc-1", &key_with(""));
        leave(host, "vc-1", 60).await;
        let cache = tempfile::tempdir().unwrap();
        let client = client(&host.url()).await;
        let first = {
            let (client, cache) = (client.clone(), cache.path().to_owned());
            tokio::spawn(async move { keep_watch(&client, "kind", &cache).await })
        };
        let lock = || std::fs::read_dir(cache.path().join("locks")).is_ok();
        while !lock() {
            tokio::task::yield_now().await;
        }
        let second = keep_watch(&client, "kind", cache.path());
        // Whoever has not got the lock leaves, and the other one stays.
        tokio::select! {
            ended = second => ended.unwrap(),
            ended = first => ended.unwrap().unwrap(),
        }
        assert_eq!(host.namespaces(), ["vc-1"]);
    });
}

/// A host that tells whoever watches of one change, or of none, and goes on listening.
fn watched(change: Option<&'static str>) -> kube::Client {
    let service = tower::service_fn(move |request: Request<kube::client::Body>| {
        let asked = request.uri().query().unwrap_or_default();
        assert!(asked.contains("watch=true"), "{asked}");
        let told = change.map(|change| Ok::<_, Infallible>(Frame::data(Bytes::from(change))));
        let body = StreamBody::new(stream::iter(told).chain(stream::pending()));
        async move { Ok::<_, Infallible>(Response::new(body)) }
    });
    kube::Client::new(service, "default")
}

#[tokio::test(start_paused = true)]
async fn who_waits_is_told_of_a_change_and_else_looks_again_in_time() {
    const LIMIT: Duration = Duration::from_secs(1);
    const CHANGE: &str = concat!(
        r#"{"type": "MODIFIED", "object": {"apiVersion": "meta.k8s.io/v1", "#,
        r#""kind": "PartialObjectMetadata", "metadata": {"name": "vc-1"}}}"#,
        "\n"
    );
    let key = key_with("");
    for (change, is_soon) in [(Some(CHANGE), true), (None, false)] {
        let began = tokio::time::Instant::now();
        let stock = Stock::default();
        stock.wait_for_change(&watched(change), &key, LIMIT).await;
        assert_eq!(began.elapsed() < LIMIT, is_soon, "{change:?}");
    }
}
