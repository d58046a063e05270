//! Turns a kind cluster that runs into a host, be it ours or made by the kind command line.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures::future::try_join_all;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    super::{
        Error, HostCluster, cluster::HostFacts, files, image::ImageStore, kubeconfig, node::Node,
    },
    address,
    container::API_PORT,
    find::{KindCluster, wiring},
    labels, nodes, pod_network, ready,
};
use crate::{deadline::Deadline, engine::Engine};

const ADMIN_CONF: &str = "/etc/kubernetes/admin.conf";

/// How long an API server that is up may take to answer.
const ANSWER: Duration = Duration::from_secs(2);

/// How long a try to reach a node's address directly may take.
const REACH: Duration = Duration::from_millis(300);

/// What the maker of a cluster leaves in its control-plane node when it is complete.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Completion {
    /// Are the routes between the nodes made by us, and have to be again after a restart?
    pub(super) has_own_routes: bool,
}

impl Completion {
    /// Marks the cluster as complete. The last thing that is done to a new cluster.
    pub(super) async fn record(&self, control_plane: &Node) -> Result<(), Error> {
        let text = serde_json::to_string(self).unwrap_or_default();
        let files = [(labels::READY_FILE, &*text)];
        files::write(&control_plane.engine, &control_plane.name, &files).await
    }
}

/// Uses `cluster`, which runs, as a host. Reads only.
///
/// # Errors
/// [`Error::HalfMade`] when it is ours and was never finished, [`Error::Foreign`] when it is somebody
/// else's and cannot be used.
pub async fn connect(engine: &Engine, cluster: &KindCluster) -> Result<HostCluster, Error> {
    Ok(attach(engine, cluster).await?.host)
}

/// Uses `cluster` as a host if it needs nothing: it runs, is complete, and its API server answers.
pub(in super::super) async fn is_up(
    engine: &Engine,
    cluster: &KindCluster,
) -> Result<Option<HostCluster>, Error> {
    if !cluster.is_running() {
        return Ok(None);
    }
    let attached = attach(engine, cluster).await?;
    if attached.has_lost_routes {
        return Ok(None);
    }
    let client = attached.host.client().await?;
    let answer = tokio::time::timeout(ANSWER, client.apiserver_version()).await;
    Ok(matches!(answer, Ok(Ok(_))).then_some(attached.host))
}

/// Brings `cluster` up after its containers were stopped or paused, or the engine was stopped.
pub(in super::super) async fn resume(
    engine: &Engine,
    cluster: &KindCluster,
    deadline: Deadline,
) -> Result<HostCluster, Error> {
    let idle = cluster.containers.iter().filter(|found| !found.is_running);
    let (paused, stopped): (Vec<_>, Vec<_>) = idle.partition(|found| found.is_paused);
    nodes::go_on(engine, paused.iter().map(|found| found.name.as_str())).await?;
    nodes::start(engine, stopped.iter().map(|found| found.name.as_str())).await?;
    let attached = attach(engine, cluster).await?;
    let boots = attached.nodes.iter().map(|node| async {
        ready::booted(node, &cluster.name, attached.started, deadline).await?;
        address::renew(node).await
    });
    try_join_all(boots).await?;
    let client = attached.host.client().await?;
    ready::api(&client, &cluster.name, deadline).await?;
    if attached.has_lost_routes {
        pod_network::join(&client, &cluster.name, &attached.nodes, deadline).await?;
    }
    let count = cluster.nodes().count();
    ready::ready(&client, &cluster.name, count, attached.started, deadline).await?;
    Ok(attached.host)
}

/// A host, and what it may lack after a restart.
struct Attached {
    host: HostCluster,
    nodes: Vec<Node>,
    started: Option<Timestamp>,
    has_lost_routes: bool,
}

async fn attach(engine: &Engine, cluster: &KindCluster) -> Result<Attached, Error> {
    if cluster.lacks_containers() {
        return Err(unusable(cluster, "a node is missing"));
    }
    let nodes = nodes::of_cluster(engine, cluster).await?;
    let Some(control_plane) = nodes.first() else {
        return Err(unusable(cluster, "it has no node"));
    };
    // Before the files: what they say is of this start, or of a later one.
    let started = wiring(engine, &control_plane.name).await?.started;
    let life = (control_plane.name.clone(), started.clone());
    let known = of_lives().get(&life).cloned();
    let (left, is_known) = match known {
        Some(left) => (left, true),
        None => (
            Left::read(engine, cluster, &control_plane.name).await?,
            false,
        ),
    };
    let has_lost_routes = left.has_own_routes && left.routes_of.as_deref() != Some(&started);
    let attached = Attached {
        host: assemble(engine, cluster, &left.admin, nodes.clone()).await?,
        nodes,
        has_lost_routes,
        started: started.parse().ok(),
    };
    if !is_known && !has_lost_routes {
        of_lives().insert(life, left);
    }
    Ok(attached)
}

/// What a complete cluster has in its control-plane node.
#[derive(Debug, Clone)]
struct Left {
    admin: String,
    has_own_routes: bool,
    /// The start of the node for which there are routes.
    routes_of: Option<String>,
}

impl Left {
    async fn read(engine: &Engine, cluster: &KindCluster, node: &str) -> Result<Self, Error> {
        let read = |path| files::read(engine, node, path);
        let (admin, completion, routes_of) = tokio::try_join!(
            read(ADMIN_CONF),
            read(labels::READY_FILE),
            read(pod_network::ROUTES_OF),
        )?;
        let Some(admin) = admin else {
            return Err(unusable(cluster, "kubeadm did not finish"));
        };
        let completion: Option<Completion> =
            completion.and_then(|text| serde_json::from_str(&text).ok());
        if cluster.is_ours && completion.is_none() {
            return Err(unusable(cluster, "its maker did not finish"));
        }
        Ok(Self {
            admin,
            has_own_routes: completion.is_some_and(|completion| completion.has_own_routes),
            routes_of,
        })
    }
}

/// What was found in nodes that needed nothing, by their names and when they started: it is as it was for as long as
/// they run, and each file costs the engine a process.
fn of_lives() -> MutexGuard<'static, BTreeMap<(String, String), Left>> {
    static OF_LIVES: Mutex<BTreeMap<(String, String), Left>> = Mutex::new(BTreeMap::new());
    OF_LIVES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Uses a cluster that is being made; kubeadm has finished.
pub(super) async fn of_new(
    engine: &Engine,
    cluster: &KindCluster,
    nodes: &[Node],
) -> Result<HostCluster, Error> {
    let admin = match nodes.first() {
        Some(control_plane) => files::read(engine, &control_plane.name, ADMIN_CONF).await?,
        None => None,
    };
    let admin = admin.ok_or_else(|| unusable(cluster, "kubeadm did not finish"))?;
    assemble(engine, cluster, &admin, nodes.to_vec()).await
}

async fn assemble(
    engine: &Engine,
    cluster: &KindCluster,
    admin_conf: &str,
    nodes: Vec<Node>,
) -> Result<HostCluster, Error> {
    let Some(entrance) = cluster.api_container() else {
        return Err(unusable(cluster, "it has no control plane"));
    };
    let entrance = wiring(engine, &entrance.name).await?;
    let Some(api) = entrance.api else {
        return Err(unusable(cluster, "its API server's port is not published"));
    };
    let node_addresses: Vec<IpAddr> = nodes.iter().map(|node| node.address).collect();
    let endpoint = match node_addresses.first() {
        Some(address) if engine.is_local() && is_reachable(*address).await => Some(*address),
        _ => None,
    };
    Ok(HostCluster::new(HostFacts {
        name: cluster.name.clone(),
        kubeconfig: kubeconfig::from_admin_conf(
            admin_conf,
            &cluster.name,
            &format!("https://{api}"),
        )?,
        endpoint,
        node_addresses,
        images: ImageStore::of_nodes(nodes),
    }))
}

/// On Linux the machine sees its containers; where they live in a virtual machine it does not.
async fn is_reachable(address: IpAddr) -> bool {
    let connect = tokio::net::TcpStream::connect((address, API_PORT));
    matches!(tokio::time::timeout(REACH, connect).await, Ok(Ok(_)))
}

fn unusable(cluster: &KindCluster, reason: &str) -> Error {
    let (name, reason) = (cluster.name.clone(), reason.to_owned());
    if cluster.is_ours {
        Error::HalfMade { name, reason }
    } else {
        Error::Foreign { name, reason }
    }
}
