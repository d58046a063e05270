//! Finds kind clusters by their labels, whoever made them. Never starts or changes one.

use std::{collections::HashMap, net::IpAddr, path::Path};

use bollard::{
    models::{ContainerInspectResponse, ContainerSummary, ContainerSummaryStateEnum},
    query_parameters::ListContainersOptionsBuilder,
};
use jiff::Timestamp;

use super::{
    super::{Error, node::is_not_found},
    container::API_PORT,
    labels,
    maker::{Judge, Maker},
};
use crate::{engine::Engine, owner::Place};

/// What a container is in a kind cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum NodeRole {
    /// A control-plane node.
    ControlPlane,
    /// A worker.
    Worker,
    /// The load balancer in front of several control-plane nodes; not a Kubernetes node.
    LoadBalancer,
}

impl NodeRole {
    pub(super) fn label(self) -> &'static str {
        match self {
            Self::ControlPlane => "control-plane",
            Self::Worker => "worker",
            Self::LoadBalancer => "external-load-balancer",
        }
    }

    fn from_label(label: &str) -> Option<Self> {
        [Self::ControlPlane, Self::Worker, Self::LoadBalancer]
            .into_iter()
            .find(|role| role.label() == label)
    }
}

/// A kind cluster as the engine knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KindCluster {
    /// Its name.
    pub name: String,
    /// Its containers, control planes first, then by name.
    pub containers: Vec<KindContainer>,
    /// Did this harness make it? Only then may it be replaced.
    pub is_ours: bool,
}

/// A container of a kind cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KindContainer {
    /// Its name, which is the node's too.
    pub name: String,
    /// What it is.
    pub role: NodeRole,
    /// Does it run?
    pub is_running: bool,
    /// Is it held by `docker pause`?
    pub(super) is_paused: bool,
    /// How many nodes the cluster should have, when we made it.
    nodes: Option<usize>,
    /// Who made it, when it was us.
    maker: Option<Maker>,
}

impl KindCluster {
    /// The containers that are Kubernetes nodes.
    pub fn nodes(&self) -> impl Iterator<Item = &KindContainer> {
        self.containers
            .iter()
            .filter(|container| container.role != NodeRole::LoadBalancer)
    }

    /// Do all its containers run?
    pub fn is_running(&self) -> bool {
        self.containers.iter().all(|container| container.is_running)
    }

    /// Is a container missing that its maker meant to be there?
    pub(super) fn lacks_containers(&self) -> bool {
        let planned = self.containers.iter().find_map(|container| container.nodes);
        let control_planes = self
            .nodes()
            .filter(|node| node.role == NodeRole::ControlPlane);
        control_planes.count() == 0
            || planned.is_some_and(|planned| self.nodes().count() != planned)
    }

    /// Is nobody at work on it any more, as far as the holder of `lock` can tell?
    pub(crate) fn is_abandoned(&self, lock: &Path) -> bool {
        let judge = Judge {
            place: Place::here(),
            lock: Some(lock),
            now: Timestamp::now(),
        };
        let mut makers = self.containers.iter().filter_map(|c| c.maker.as_ref());
        self.is_ours && makers.all(|maker| maker.has_given_up(&judge))
    }

    /// The container through which the API server is reached.
    pub(super) fn api_container(&self) -> Option<&KindContainer> {
        let of = |role| self.containers.iter().find(move |c| c.role == role);
        of(NodeRole::LoadBalancer).or_else(|| of(NodeRole::ControlPlane))
    }
}

/// All kind clusters of the engine, by name.
///
/// # Errors
/// The engine does not answer.
pub async fn list(engine: &Engine) -> Result<Vec<KindCluster>, Error> {
    query(engine, labels::CLUSTER.to_owned()).await
}

/// The kind cluster called `name`, complete or not.
///
/// # Errors
/// The engine does not answer.
pub async fn find(engine: &Engine, name: &str) -> Result<Option<KindCluster>, Error> {
    let clusters = query(engine, format!("{}={name}", labels::CLUSTER)).await?;
    Ok(clusters.into_iter().next())
}

async fn query(engine: &Engine, label: String) -> Result<Vec<KindCluster>, Error> {
    let filters = HashMap::from([("label", vec![label])]);
    let options = ListContainersOptionsBuilder::default()
        .all(true)
        .filters(&filters)
        .build();
    let containers = engine
        .docker()
        .list_containers(Some(options))
        .await
        .map_err(Error::engine("list", "containers"))?;
    Ok(group(containers))
}

fn group(containers: Vec<ContainerSummary>) -> Vec<KindCluster> {
    let mut clusters: Vec<KindCluster> = Vec::new();
    for container in containers {
        let container_labels = container.labels.unwrap_or_default();
        let Some(cluster) = container_labels.get(labels::CLUSTER) else {
            continue;
        };
        let role = container_labels
            .get(labels::ROLE)
            .and_then(|role| NodeRole::from_label(role));
        let name = container
            .names
            .and_then(|names| names.into_iter().next())
            .map(|name| name.trim_start_matches('/').to_owned());
        let (Some(role), Some(name)) = (role, name) else {
            continue;
        };
        let position = clusters.iter().position(|known| known.name == *cluster);
        let position = position.unwrap_or_else(|| {
            clusters.push(KindCluster {
                name: cluster.clone(),
                containers: Vec::new(),
                is_ours: true,
            });
            clusters.len() - 1
        });
        let known = &mut clusters[position];
        let (key, value) = labels::MADE_BY_US;
        known.is_ours &= container_labels.get(key).map(String::as_str) == Some(value);
        known.containers.push(KindContainer {
            name,
            role,
            is_running: container.state == Some(ContainerSummaryStateEnum::RUNNING),
            is_paused: container.state == Some(ContainerSummaryStateEnum::PAUSED),
            nodes: container_labels
                .get(labels::NODES)
                .and_then(|nodes| nodes.parse().ok()),
            maker: container_labels
                .get(labels::MAKER)
                .and_then(|maker| Maker::from_label(maker)),
        });
    }
    for cluster in &mut clusters {
        cluster
            .containers
            .sort_by(|a, b| (a.role, &a.name).cmp(&(b.role, &b.name)));
    }
    clusters.sort_by(|a, b| a.name.cmp(&b.name));
    clusters
}

/// What the engine says of a container's network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wiring {
    /// Its address in the Docker network.
    pub(super) address: IpAddr,
    /// The one of the other family.
    pub(super) second_address: Option<IpAddr>,
    /// Where this machine reaches its API port.
    pub(super) api: Option<String>,
    /// When it was started, as the engine writes it.
    pub(super) started: String,
}

/// Looks up the addresses of a running container.
pub(super) async fn wiring(engine: &Engine, container: &str) -> Result<Wiring, Error> {
    let inspected = engine.docker().inspect_container(container, None).await;
    let inspected = match inspected {
        Ok(inspected) => inspected,
        Err(error) if is_not_found(&error) => {
            return Err(Error::Gone {
                container: container.to_owned(),
            });
        }
        Err(source) => return Err(Error::engine("inspect", container)(source)),
    };
    let state = inspected
        .state
        .as_ref()
        .and_then(|state| state.status)
        .map_or_else(|| "state unknown".to_owned(), |status| status.to_string());
    read_wiring(&inspected).ok_or(Error::NotRunning {
        container: container.to_owned(),
        state,
    })
}

fn read_wiring(container: &ContainerInspectResponse) -> Option<Wiring> {
    let settings = container.network_settings.as_ref()?;
    let networks = settings.networks.as_ref()?;
    let (address, second_address) = networks.values().find_map(|network| {
        let read = |address: &Option<String>| address.as_deref()?.parse().ok();
        Some((
            read(&network.ip_address)?,
            read(&network.global_ipv6_address),
        ))
    })?;
    let label = format!("desktop.docker.io/ports/{API_PORT}/tcp");
    // Docker Desktop may publish elsewhere than it says, and then says so in a label.
    let published = container
        .config
        .as_ref()
        .and_then(|config| config.labels.as_ref()?.get(&label).cloned());
    let bound = || {
        let ports = settings.ports.as_ref()?;
        let binding = ports.get(&format!("{API_PORT}/tcp"))?.as_ref()?.first()?;
        let host = match binding.host_ip.as_deref() {
            None | Some("" | "0.0.0.0") => "127.0.0.1",
            Some("::") => "[::1]",
            Some(host) => host,
        };
        Some(format!("{host}:{}", binding.host_port.as_ref()?))
    };
    Some(Wiring {
        address,
        second_address,
        api: published.or_else(bound),
        started: container
            .state
            .as_ref()
            .and_then(|state| state.started_at.clone())
            .unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn container(name: &str, labels: &serde_json::Value, state: &str) -> ContainerSummary {
        let names = [format!("/{name}")];
        let json = json!({"Names": names, "Labels": labels, "State": state});
        serde_json::from_value(json).unwrap()
    }

    fn ours(name: &str, role: &str, nodes: &str) -> ContainerSummary {
        let labels = json!({
            labels::CLUSTER: "web",
            labels::ROLE: role,
            labels::MADE_BY_US.0: labels::MADE_BY_US.1,
            labels::NODES: nodes,
        });
        container(name, &labels, "running")
    }

    fn of_kind(name: &str, role: &str) -> ContainerSummary {
        let labels = json!({labels::CLUSTER: "other", labels::ROLE: role});
        container(name, &labels, "exited")
    }

    #[test]
    fn containers_are_grouped_by_cluster() {
        let clusters = group(vec![
            ours("web-worker", "worker", "2"),
            of_kind("other-control-plane", "control-plane"),
            ours("web-control-plane", "control-plane", "2"),
        ]);
        let names: Vec<&str> = clusters.iter().map(|c| c.name.as_str()).collect();
        assert_eq!(names, ["other", "web"]);
        let (other, web) = (&clusters[0], &clusters[1]);
        assert!(!other.is_ours && !other.is_running());
        assert!(web.is_ours && web.is_running() && !web.lacks_containers());
        assert_eq!(web.containers[0].name, "web-control-plane");
    }

    #[test]
    fn a_missing_node_is_noticed() {
        let clusters = group(vec![ours("web-control-plane", "control-plane", "2")]);
        assert!(clusters[0].lacks_containers());
        let clusters = group(vec![ours("web-worker", "worker", "1")]);
        assert!(clusters[0].lacks_containers());
    }

    #[test]
    fn the_load_balancer_is_the_way_in_but_no_node() {
        let clusters = group(vec![
            of_kind("other-external-load-balancer", "external-load-balancer"),
            of_kind("other-control-plane", "control-plane"),
            of_kind("other-control-plane2", "control-plane"),
        ]);
        let api = clusters[0].api_container().unwrap();
        assert_eq!(api.name, "other-external-load-balancer");
        assert_eq!(clusters[0].nodes().count(), 2);
    }

    #[test]
    fn the_published_port_is_read() {
        let inspected = serde_json::from_value(json!({
            "NetworkSettings": {
                "Networks": {"kind": {"IPAddress": "172.18.0.2"}},
                "Ports": {"6443/tcp": [{"HostIp": "127.0.0.1", "HostPort": "40001"}]},
            },
        }))
        .unwrap();
        let wiring = read_wiring(&inspected).unwrap();
        assert_eq!(wiring.api.as_deref(), Some("127.0.0.1:40001"));
        assert_eq!(wiring.address, IpAddr::from([172, 18, 0, 2]));
    }

    #[test]
    fn a_stopped_container_has_no_wiring() {
        let inspected = serde_json::from_value(json!({
            "NetworkSettings": {"Networks": {"kind": {"IPAddress": ""}}, "Ports": {}},
        }))
        .unwrap();
        assert_eq!(read_wiring(&inspected), None);
    }
}
