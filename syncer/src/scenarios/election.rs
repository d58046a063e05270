//! Several syncers of one cluster: one works, and never two.

use std::{sync::Arc, time::Duration};

use k8s_openapi::api::{coordination::v1::Lease, core::v1::Pod};
use kube::ResourceExt;
use tokio::time::{Instant, sleep};

use super::world::{HOST, TEAM, World, host_name, pod};
use crate::{
    Syncer,
    clusters::Clusters,
    config::{LeaderElection, SyncConfig, tests::config},
    fake_api::{Condition, Line},
};

/// One of several syncers and its lines to both clusters.
struct Replica {
    to_virtual: Line,
    to_host: Line,
    syncer: Syncer,
}

impl Replica {
    async fn start(world: &World, author: &'static str) -> Self {
        let (to_virtual, to_host) = (Line::new(author), Line::new(author));
        let config = SyncConfig {
            leader_election: LeaderElection::ON,
            ..config()
        };
        let syncer = Syncer::start(Clusters::new(
            world.on_virtual.client_over(&to_virtual),
            world.on_host.client_over(&to_host),
            config,
        ));
        syncer.wait_until_ready().await;
        Self {
            to_virtual,
            to_host,
            syncer,
        }
    }

    fn is_leading(&self) -> bool {
        self.syncer.clusters().mandate.holds()
    }

    async fn wait_until_leading(&self, world: &World) {
        let clusters = Arc::clone(self.syncer.clusters());
        world
            .on_host
            .wait_for("it to lead", |host| {
                let lease = host.get::<Lease>(HOST, "test-syncer");
                clusters
                    .mandate
                    .holds()
                    .then_some(())
                    .ok_or_else(|| format!("{lease:?}"))
            })
            .await;
    }
}

/// Two syncers, the first of which leads.
async fn two(world: &World) -> (Replica, Replica) {
    let first = Replica::start(world, "first").await;
    first.wait_until_leading(world).await;
    let second = Replica::start(world, "second").await;
    (first, second)
}

async fn wait_for_twin(world: &World, name: &str) {
    let twin = host_name(name);
    world
        .on_host
        .wait_for_object::<Pod>(HOST, &twin, |_| true)
        .await;
}

/// Who wrote on either side, in the order of time, each turn once.
fn turns(world: &World) -> Vec<&'static str> {
    let mut written = world.on_virtual.written();
    written.extend(world.on_host.written());
    written.sort_by_key(|written| written.at);
    let mut authors: Vec<_> = written.iter().map(|written| written.author).collect();
    authors.dedup();
    authors
}

#[tokio::test(start_paused = true)]
async fn one_of_two_works_and_the_other_is_as_ready() {
    let world = World::asleep();
    let (first, second) = two(&world).await;
    world.on_virtual.put(&pod("web"));
    wait_for_twin(&world, "web").await;
    sleep(Duration::from_mins(2)).await;
    assert!(first.is_leading() && !second.is_leading());
    assert_eq!(turns(&world), ["first"]);
    assert!(second.syncer.clusters().caches.not_ready().is_empty());
    let lease = world.on_host.get::<Lease>(HOST, "test-syncer").unwrap();
    assert_eq!(lease.spec.unwrap().lease_transitions, Some(0));
}

#[tokio::test(start_paused = true)]
async fn when_the_one_that_works_is_killed_the_other_takes_over() {
    let world = World::asleep();
    let (first, second) = two(&world).await;
    world.on_virtual.put(&pod("web"));
    wait_for_twin(&world, "web").await;
    let twin = world.on_host.get::<Pod>(HOST, &host_name("web")).unwrap();
    drop(first);
    let killed = Instant::now();
    world.on_virtual.put(&pod("late"));
    world.on_virtual.remove::<Pod>(TEAM, "web");
    world.on_virtual.put(&pod("web"));
    second.wait_until_leading(&world).await;
    let took = killed.elapsed();
    assert!((13..=18).contains(&took.as_secs()), "{took:?}");
    wait_for_twin(&world, "late").await;
    let is_new = |pod: &Pod| pod.uid() != twin.uid();
    world
        .on_host
        .wait_for_object::<Pod>(HOST, &host_name("web"), is_new)
        .await;
    world.settle().await;
    assert_eq!(world.on_host.list::<Pod>().len(), 2);
    assert_eq!(turns(&world), ["first", "second"]);
}

#[tokio::test(start_paused = true)]
async fn one_that_is_told_to_stop_hands_over_at_once() {
    let world = World::asleep();
    let (first, second) = two(&world).await;
    let asked = Instant::now();
    first.syncer.shutdown().await;
    second.wait_until_leading(&world).await;
    assert!(asked.elapsed() < Duration::from_secs(4));
    world.on_virtual.put(&pod("web"));
    wait_for_twin(&world, "web").await;
}

#[tokio::test(start_paused = true)]
async fn one_that_loses_the_host_writes_nowhere_before_the_other_does() {
    for condition in [Condition::Silent, Condition::Refused, Condition::Busy(1)] {
        let world = World::asleep();
        let (first, second) = two(&world).await;
        world.on_virtual.put(&pod("web"));
        world.run_pod("web").await;
        world.settle().await;
        first.to_host.set(condition);
        let cut = Instant::now();
        let spoil = || {
            world.on_virtual.edit::<Pod>(TEAM, "web", |pod| {
                pod.status.as_mut().unwrap().phase = Some("Unknown".to_owned());
            });
        };
        // It could still write to the virtual cluster.
        while first.is_leading() {
            spoil();
            sleep(Duration::from_millis(100)).await;
        }
        spoil();
        let stopped = cut.elapsed();
        assert!((6..=10).contains(&stopped.as_secs()), "{stopped:?}");
        second.wait_until_leading(&world).await;
        assert!(cut.elapsed() > stopped + Duration::from_secs(3));
        let is_mended =
            |pod: &Pod| pod.status.as_ref().unwrap().phase.as_deref() == Some("Running");
        world
            .on_virtual
            .wait_for_object::<Pod>(TEAM, "web", is_mended)
            .await;
        first.to_host.set(Condition::Good);
        sleep(Duration::from_mins(1)).await;
        assert!(!first.is_leading() && second.is_leading());
        assert_eq!(turns(&world), ["first", "second"], "{condition:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_moment_without_the_host_costs_nothing() {
    let world = World::asleep();
    let (first, second) = two(&world).await;
    for condition in [Condition::Silent, Condition::Refused, Condition::Busy(1)] {
        first.to_host.set(condition);
        sleep(Duration::from_secs(4)).await;
        first.to_host.set(Condition::Good);
        for _ in 0..200 {
            sleep(Duration::from_millis(100)).await;
            assert!(first.is_leading() && !second.is_leading());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_somebody_removes_is_made_again_by_its_holder() {
    let world = World::asleep();
    let (first, second) = two(&world).await;
    world.on_host.remove::<Lease>(HOST, "test-syncer");
    for _ in 0..300 {
        sleep(Duration::from_millis(100)).await;
        assert!(first.is_leading() && !second.is_leading());
    }
    assert!(world.on_host.get::<Lease>(HOST, "test-syncer").is_some());
}

#[tokio::test(start_paused = true)]
async fn one_that_lost_its_lease_works_again_when_elected_again() {
    let world = World::asleep();
    let (first, second) = two(&world).await;
    first.to_host.set(Condition::Refused);
    first.to_virtual.set(Condition::Refused);
    second.wait_until_leading(&world).await;
    world.on_virtual.put(&pod("web"));
    wait_for_twin(&world, "web").await;
    first.to_host.set(Condition::Good);
    first.to_virtual.set(Condition::Good);
    second.syncer.shutdown().await;
    first.wait_until_leading(&world).await;
    world.on_virtual.remove::<Pod>(TEAM, "web");
    world.on_virtual.put(&pod("late"));
    wait_for_twin(&world, "late").await;
    world
        .on_host
        .wait_until_gone::<Pod>(HOST, &host_name("web"))
        .await;
}
