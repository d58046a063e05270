//! Two clusters in memory and a syncer between them.

use std::time::Duration;

use k8s_openapi::{
    api::{
        core::v1::{ConfigMap, Container, Namespace, Node, Pod, PodSpec, PodStatus, Secret},
        events::v1::Event,
    },
    apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time},
    jiff::Timestamp,
};
use tokio::time::sleep;

use crate::{
    Syncer,
    clusters::Clusters,
    config::{self, tests::config},
    fake_api::FakeApi,
};

/// The host namespace of the cluster under test.
pub(super) const HOST: Option<&str> = Some("vcluster-test");
/// The virtual namespace that stories play in.
pub(super) const TEAM: Option<&str> = Some("team");

/// Two clusters and, while it runs, a syncer.
pub(super) struct World {
    pub(super) on_virtual: FakeApi,
    pub(super) on_host: FakeApi,
    syncer: Option<Syncer>,
    sync: config::Sync,
}

impl World {
    /// Two clusters without a syncer, with a namespace and a node.
    pub(super) fn asleep() -> Self {
        let (on_virtual, on_host) = (FakeApi::new(), FakeApi::new());
        let mut namespace = Namespace::default();
        namespace.metadata.name = TEAM.map(str::to_owned);
        on_virtual.put(&namespace);
        let mut node = Node::default();
        node.metadata.name = Some("worker".to_owned());
        on_host.put(&node);
        Self {
            on_virtual,
            on_host,
            syncer: None,
            sync: config::Sync::default(),
        }
    }

    /// As [`Self::awake`], with more or less synced than usual.
    pub(super) async fn awake_with(choose: impl FnOnce(&mut config::Sync)) -> Self {
        let mut world = Self::asleep();
        choose(&mut world.sync);
        world.wake().await;
        world
    }

    /// Two clusters with a syncer that has seen them.
    pub(super) async fn awake() -> Self {
        let mut world = Self::asleep();
        world.wake().await;
        world
    }

    /// Starts a syncer.
    pub(super) async fn wake(&mut self) {
        let config = config::SyncConfig {
            sync: self.sync.clone().completed(),
            host_namespace_uid: Some("uid-of-namespace".to_owned()),
            ..config()
        };
        let syncer = Syncer::start(Clusters::new(
            self.on_virtual.client(),
            self.on_host.client(),
            config,
        ));
        syncer.wait_until_ready().await;
        self.syncer = Some(syncer);
    }

    /// Does a syncer run?
    pub(super) fn is_awake(&self) -> bool {
        self.syncer.is_some()
    }

    /// Ends the syncer.
    pub(super) async fn sleep(&mut self) {
        if let Some(syncer) = self.syncer.take() {
            syncer.shutdown().await;
        }
    }

    /// Kills the syncer in the middle of whatever it does.
    pub(super) fn crash(&mut self) {
        self.syncer = None;
    }

    /// Waits until nobody has anything to do, and makes sure that it stays so.
    pub(super) async fn settle(&self) {
        let mut quiet = 0;
        let mut writes = self.writes();
        while quiet < 10 {
            sleep(Duration::from_millis(20)).await;
            let now = self.writes();
            quiet = if now == writes { quiet + 1 } else { 0 };
            writes = now;
        }
    }

    /// How often anything was written.
    pub(super) fn writes(&self) -> usize {
        self.on_virtual.writes() + self.on_host.writes()
    }

    /// How often the controller of `kind` had an object to look at.
    pub(super) fn turns(&self, kind: &str) -> u64 {
        let syncer = self.syncer.as_ref().expect("the syncer runs");
        let text = syncer.clusters().metrics.render();
        let series = format!("vcluster_syncer_reconcile_seconds_count{{controller=\"{kind}\"}} ");
        let count = text.lines().find_map(|line| line.strip_prefix(&series));
        count.map_or(0, |count| count.parse().unwrap())
    }

    /// Waits until the tenant is told of trouble.
    pub(super) async fn warning(&self) -> Event {
        self.on_virtual
            .wait_for("a warning", |cluster| {
                let mut events = cluster.list::<Event>();
                events.pop().ok_or_else(String::new)
            })
            .await
    }

    /// Waits for the host pod `name`, schedules it and starts it, as scheduler and kubelet would.
    pub(super) async fn run_pod(&self, name: &str) -> Pod {
        let host_name = host_name(name);
        self.on_host
            .wait_for(&format!("host pod {host_name}"), |host| {
                host.get::<Pod>(HOST, &host_name)
                    .map(|_| ())
                    .ok_or_else(|| names(&host.list::<Pod>()))
            })
            .await;
        self.on_host.edit::<Pod>(HOST, &host_name, |pod| {
            pod.spec.as_mut().unwrap().node_name = Some("worker".to_owned());
            pod.status = Some(running());
        });
        self.on_virtual
            .wait_for(&format!("virtual pod {name} to run"), |cluster| {
                let pod = cluster.get::<Pod>(TEAM, name).ok_or("no pod")?;
                let phase = pod.status.as_ref().and_then(|status| status.phase.clone());
                match (
                    phase.as_deref(),
                    pod.spec.as_ref().and_then(|spec| spec.node_name.clone()),
                ) {
                    (Some("Running"), Some(_)) => Ok(pod),
                    other => Err(format!("{other:?}")),
                }
            })
            .await
    }
}

/// The status of a pod that runs.
pub(super) fn running() -> PodStatus {
    PodStatus {
        phase: Some("Running".to_owned()),
        pod_ip: Some("10.244.0.7".to_owned()),
        start_time: Some(Time(Timestamp::UNIX_EPOCH)),
        ..PodStatus::default()
    }
}

/// What an object of the team is called on the host.
pub(super) fn host_name(name: &str) -> String {
    format!("{name}-x-team-x-test")
}

/// The names of objects, for messages.
pub(super) fn names<K: kube::Resource>(objects: &[K]) -> String {
    let names: Vec<_> = objects
        .iter()
        .filter_map(|object| object.meta().name.clone())
        .collect();
    names.join(", ")
}

pub(super) fn meta(name: &str) -> ObjectMeta {
    ObjectMeta {
        name: Some(name.to_owned()),
        namespace: TEAM.map(str::to_owned),
        ..ObjectMeta::default()
    }
}

/// A pod as a tenant writes it.
pub(super) fn pod(name: &str) -> Pod {
    Pod {
        metadata: meta(name),
        spec: Some(PodSpec {
            containers: vec![Container {
                name: "main".to_owned(),
                image: Some("image:1".to_owned()),
                ..Container::default()
            }],
            ..PodSpec::default()
        }),
        status: None,
    }
}

/// A config map with one value.
pub(super) fn config_map(name: &str, color: &str) -> ConfigMap {
    ConfigMap {
        metadata: meta(name),
        data: Some([("color".to_owned(), color.to_owned())].into()),
        ..ConfigMap::default()
    }
}

/// An empty secret.
pub(super) fn secret(name: &str) -> Secret {
    Secret {
        metadata: meta(name),
        type_: Some("Opaque".to_owned()),
        ..Secret::default()
    }
}
