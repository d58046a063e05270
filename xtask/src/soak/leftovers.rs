//! What is left when everybody has finished. Other tests may run on the same machine: what is theirs is left out.

use std::collections::{BTreeSet, HashMap};

use bollard::query_parameters::{
    ListContainersOptionsBuilder, ListNetworksOptions, ListVolumesOptionsBuilder,
};
use k8s_openapi::api::{
    core::v1::Namespace,
    rbac::v1::{ClusterRole, ClusterRoleBinding},
};
use kube::{Api, Client, Resource, ResourceExt, api::ListParams};
use serde::de::DeserializeOwned;
use vcluster_harness::{
    cluster,
    engine::Engine,
    host::kind,
    lease::{LeaseState, Runs},
    owner::key,
    prune,
    settings::Settings,
};

use super::cycle::{Cycle, Program};

/// The processes and sessions whose leftovers these would be.
#[derive(Debug, Default)]
pub(super) struct Victims {
    pids: BTreeSet<u32>,
    sessions: BTreeSet<String>,
}

/// What was there before.
#[derive(Debug)]
pub(super) struct Before {
    of_engine: BTreeSet<String>,
    of_cache: BTreeSet<String>,
}

impl Victims {
    pub(super) fn add(&mut self, cycle: &Cycle) {
        self.pids.insert(cycle.pid);
        self.sessions.extend(cycle.session.clone());
    }
}

impl Before {
    pub(super) async fn look(engine: &Engine, settings: &Settings) -> anyhow::Result<Self> {
        Ok(Self {
            of_engine: of_engine(engine).await?,
            of_cache: of_cache(settings)?,
        })
    }
}

/// Everything that is left, a line each.
pub(super) async fn look(
    host: &Client,
    engine: &Engine,
    settings: &Settings,
    before: &Before,
    victims: &Victims,
    program: &Program,
) -> anyhow::Result<Vec<String>> {
    let mut left: Vec<String> = program
        .processes()
        .into_iter()
        .map(|(pid, command)| format!("process {}: {command}", pid.as_raw_nonzero()))
        .collect();
    left.extend(on_host(host, victims).await?);
    let of_engine = of_engine(engine).await?;
    left.extend(of_engine.difference(&before.of_engine).cloned());
    left.extend(of_cache(settings)?.difference(&before.of_cache).cloned());
    let runs = Runs::new(&settings.cache);
    let held = victims.sessions.iter();
    let held = held.filter(|session| runs.state(session) != LeaseState::Missing);
    left.extend(held.map(|session| format!("lease of session {session}")));
    for entry in std::fs::read_dir(program.scratch.path())? {
        left.push(format!("temporary file {}", entry?.path().display()));
    }
    Ok(left)
}

/// Namespaces of the victims, and cluster-wide objects whose namespace is gone, whoever made them.
async fn on_host(host: &Client, victims: &Victims) -> anyhow::Result<Vec<String>> {
    let mut left = Vec::new();
    for record in cluster::list(host).await? {
        let owner = record.owner.as_ref();
        let is_theirs = owner.is_some_and(|owner| {
            let pid = owner.process.map(|process| process.pid);
            victims.sessions.contains(&owner.session)
                || pid.is_some_and(|pid| victims.pids.contains(&pid))
        });
        if is_theirs {
            left.push(format!("namespace {}", record.namespace));
        }
    }
    let namespaces = Api::<Namespace>::all(host.clone());
    let namespaces = namespaces.list(&ListParams::default()).await?;
    let namespaces: BTreeSet<String> = namespaces.iter().map(ResourceExt::name_any).collect();
    left.extend(orphans::<ClusterRole>(host, &namespaces, "cluster role").await?);
    left.extend(orphans::<ClusterRoleBinding>(host, &namespaces, "cluster role binding").await?);
    Ok(left)
}

async fn orphans<K>(
    host: &Client,
    namespaces: &BTreeSet<String>,
    kind: &str,
) -> anyhow::Result<Vec<String>>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + std::fmt::Debug,
    K: k8s_openapi::Resource<Scope = k8s_openapi::ClusterResourceScope>,
{
    let ours = ListParams::default().labels(key::CLUSTER);
    let found = Api::<K>::all(host.clone()).list(&ours).await?;
    let mut orphans = Vec::new();
    for object in found {
        let owners = object.owner_references().iter();
        let is_orphan = owners
            .filter(|owner| owner.kind == "Namespace")
            .all(|owner| !namespaces.contains(&owner.name));
        if is_orphan {
            orphans.push(format!("{kind} {}", object.name_any()));
        }
    }
    Ok(orphans)
}

/// Containers, networks and volumes. A node of a complete host that others made is none of ours.
async fn of_engine(engine: &Engine) -> anyhow::Result<BTreeSet<String>> {
    let docker = engine.docker();
    let nodes: BTreeSet<String> = kind::list(engine)
        .await?
        .into_iter()
        .flat_map(|host| host.containers)
        .map(|container| container.name)
        .collect();
    let mut found = BTreeSet::new();
    let all = ListContainersOptionsBuilder::default().all(true).build();
    for container in docker.list_containers(Some(all)).await? {
        let name = container.names.and_then(|names| names.into_iter().next());
        let name = name.unwrap_or_default();
        let name = name.trim_start_matches('/');
        if !nodes.contains(name) {
            found.insert(format!("container {name}"));
        }
    }
    let networks = docker.list_networks(None::<ListNetworksOptions>).await?;
    let networks = networks.into_iter().filter_map(|network| network.name);
    found.extend(networks.map(|name| format!("network {name}")));
    // Those that a container has go with it.
    let dangling = HashMap::from([("dangling", vec!["true"])]);
    let dangling = ListVolumesOptionsBuilder::default()
        .filters(&dangling)
        .build();
    let volumes = docker.list_volumes(Some(dangling)).await?;
    let volumes = volumes.volumes.unwrap_or_default().into_iter();
    found.extend(volumes.map(|volume| format!("volume {}", volume.name)));
    Ok(found)
}

/// What `prune` would take of the cache.
fn of_cache(settings: &Settings) -> anyhow::Result<BTreeSet<String>> {
    let items = prune::of_cache(settings)?.into_iter();
    Ok(items
        .map(|item| format!("{} {}", item.kind.name(), item.name))
        .collect())
}
