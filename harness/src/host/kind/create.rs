//! Makes a kind cluster: containers, kubeadm, network, storage, and the wait until nodes are ready.

use std::{
    str::FromStr as _,
    time::{Duration, Instant},
};

use bollard::query_parameters::RemoveContainerOptionsBuilder;
use futures::future::try_join_all;
use k8s_openapi::api::{apps::v1::Deployment, core::v1::Node as KubernetesNode};
use kube::{
    Api, Client,
    api::{Patch, PatchParams},
};
use serde_json::json;

use super::{
    super::{
        Error, HostCluster, files,
        node::{Command, Node},
        preflight,
    },
    addons::{self, ImageFacts},
    connect::{self, Completion},
    container::API_PORT,
    find::find,
    kubeadm::{self, NodeFacts},
    machine, network, nodes,
    options::KindOptions,
    pod_network, ready,
};
use crate::{
    deadline::Deadline,
    engine::Engine,
    progress::{Progress, Step},
    version::KubernetesVersion,
};

/// Shares of the whole time for single steps, so that a step that hangs is named.
const BOOT: Duration = Duration::from_mins(1);
const KUBEADM: Duration = Duration::from_mins(2);

/// Makes a kind cluster and waits until its nodes are ready and take pods.
///
/// When it fails, what was made is removed, unless the options say to retain it. A process that is
/// killed leaves a cluster that [`connect`](super::connect()) recognises as half-made.
///
/// # Errors
/// There is one of this name, the options mean nothing, the machine cannot run a host, the engine refuses,
/// or a step fails or takes too long.
pub async fn create(
    engine: &Engine,
    options: &KindOptions,
    progress: &Progress,
) -> Result<HostCluster, Error> {
    preflight::require(engine, &options.name, progress).await?;
    make(engine, options, progress).await
}

/// The same on a machine that was looked at.
pub(in crate::host) async fn make(
    engine: &Engine,
    options: &KindOptions,
    progress: &Progress,
) -> Result<HostCluster, Error> {
    options.validate()?;
    if find(engine, &options.name).await?.is_some() {
        return Err(Error::Exists {
            name: options.name.clone(),
        });
    }
    let step = progress.step(format!("starting host {}", options.name));
    let mut made = Vec::new();
    let result = build(engine, options, &step, &mut made).await;
    match result {
        Ok(host) => {
            step.done();
            Ok(host)
        }
        Err(error) => {
            if !options.retain {
                undo(engine, &made).await;
            }
            Err(error)
        }
    }
}

async fn build(
    engine: &Engine,
    options: &KindOptions,
    step: &Step,
    made: &mut Vec<String>,
) -> Result<HostCluster, Error> {
    let deadline = Deadline::after("kind host", options.timeout);
    let mut phases = Phases::of(&options.name);
    network::ensure(engine).await?;
    let machine = machine::inspect(engine, options).await?;
    nodes::make(engine, options, &machine, made).await?;
    let image = ImageFacts::read(engine, &made[0]).await?;
    let version = version(&image.release, options)?;
    if image.network.is_none() {
        let pods = options.pod_subnets()?;
        let files = pod_network::first_files(&pods, options.workers == 0);
        let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (*path, &**text)).collect();
        try_join_all(made.iter().map(|id| files::write(engine, id, &files))).await?;
    }
    nodes::start(engine, made.iter().map(String::as_str)).await?;
    let nodes = nodes::of_options(engine, options).await?;
    check_families(options, &nodes)?;
    phases.end("containers");

    step.detail("booting");
    let prepared = nodes.iter().enumerate().map(|(position, node)| {
        let facts = NodeFacts {
            name: &node.name,
            role: nodes::role(position),
            address: node.address,
            second_address: node.second_address,
            release: &image.release,
            version,
            is_rootless: machine.is_rootless,
        };
        prepare(node, options, facts, deadline)
    });
    try_join_all(prepared).await?;
    if image.network.is_none() && options.workers > 0 {
        try_join_all(nodes.iter().map(pod_network::clear)).await?;
    }
    phases.end("boot");

    step.detail("kubeadm init");
    init(&nodes[0], deadline).await?;
    phases.end("kubeadm init");
    let host = host(engine, options, &nodes).await?;
    let client = host.client().await?;

    step.detail("nodes, network and storage");
    let joined = try_join_all(nodes[1..].iter().map(|node| join(node, deadline)));
    let networked = set_up_network(&client, options, &nodes, &image, deadline);
    let stored = addons::apply(&client, &options.name, &image.storage);
    let tuned = tune(&client, options, &nodes[0]);
    // All four go on together; the first failure ends the rest, which are undone with the containers.
    tokio::try_join!(joined, networked, stored, tuned)?;
    phases.end("nodes, network and storage");

    step.detail("waiting for nodes");
    ready::ready(&client, &options.name, nodes.len(), None, deadline).await?;
    let has_own_routes = image.network.is_none() && options.workers > 0;
    Completion { has_own_routes }.record(&nodes[0]).await?;
    phases.end("ready");
    Ok(host)
}

/// Tells how long each phase took.
struct Phases<'a> {
    host: &'a str,
    since: Instant,
}

impl<'a> Phases<'a> {
    fn of(host: &'a str) -> Self {
        Self {
            host,
            since: Instant::now(),
        }
    }

    fn end(&mut self, step: &'static str) {
        let elapsed = self.since.elapsed();
        tracing::info!(
            host = self.host,
            step,
            ?elapsed,
            "a phase of a new host has ended"
        );
        self.since = Instant::now();
    }
}

/// Boots a node and writes its configuration meanwhile.
async fn prepare(
    node: &Node,
    options: &KindOptions,
    facts: NodeFacts<'_>,
    deadline: Deadline,
) -> Result<(), Error> {
    let configuration = kubeadm::config(options, facts)?;
    let files = [(kubeadm::PATH, &*configuration)];
    files::write(&node.engine, &node.name, &files).await?;
    ready::booted(node, &options.name, None, deadline.step("boot", BOOT)).await
}

/// The engine decides whether its network has IPv6.
fn check_families(options: &KindOptions, nodes: &[Node]) -> Result<(), Error> {
    if options.is_dual_stack() && nodes.iter().any(|node| node.second_address.is_none()) {
        return Err(Error::Option {
            option: "service subnet",
            value: options.service_subnet.clone(),
            reason: format!(
                "nodes of two families need IPv6 in the engine's network `{}`",
                network::NAME
            ),
        });
    }
    Ok(())
}

/// The version without what a build from between two releases adds to it.
fn version(release: &str, options: &KindOptions) -> Result<KubernetesVersion, Error> {
    let plain = release.split(['-', '+']).next().unwrap_or(release);
    KubernetesVersion::from_str(plain).map_err(|error| Error::Option {
        option: "image",
        value: options.image.clone(),
        reason: format!("it is no kind node image: its /kind/version is unreadable: {error}"),
    })
}

async fn init(node: &Node, deadline: Deadline) -> Result<(), Error> {
    let path = format!("--config={}", kubeadm::PATH);
    let command = Command::new(["kubeadm", "init", &path, "--skip-token-print"])
        .deadline(deadline.step("kubeadm init", KUBEADM));
    node.run(command).await.map(drop)
}

async fn join(node: &Node, deadline: Deadline) -> Result<(), Error> {
    let path = format!("--config={}", kubeadm::PATH);
    let command =
        Command::new(["kubeadm", "join", &path]).deadline(deadline.step("kubeadm join", KUBEADM));
    node.run(command).await.map(drop)
}

async fn host(
    engine: &Engine,
    options: &KindOptions,
    nodes: &[Node],
) -> Result<HostCluster, Error> {
    let cluster = find(engine, &options.name)
        .await?
        .ok_or_else(|| Error::Gone {
            container: nodes[0].name.clone(),
        })?;
    connect::of_new(engine, &cluster, nodes).await
}

async fn set_up_network(
    client: &Client,
    options: &KindOptions,
    nodes: &[Node],
    image: &ImageFacts,
    deadline: Deadline,
) -> Result<(), Error> {
    if let Some(manifest) = &image.network {
        let endpoint = format!("{}-control-plane:{API_PORT}", options.name);
        let objects = addons::network_objects(manifest, &options.pod_subnet, &endpoint)?;
        return addons::apply(client, &options.name, &objects).await;
    }
    if nodes.len() > 1 {
        pod_network::join(client, &options.name, nodes, deadline).await?;
    }
    Ok(())
}

/// The control plane takes load-balanced traffic too, as it runs pods, and one DNS server is enough for a test host.
async fn tune(client: &Client, options: &KindOptions, node: &Node) -> Result<(), Error> {
    let parameters = PatchParams::default();
    let label = "node.kubernetes.io/exclude-from-external-load-balancers";
    let patch = Patch::Merge(json!({"metadata": {"labels": {label: null}}}));
    Api::<KubernetesNode>::all(client.clone())
        .patch_metadata(&node.name, &parameters, &patch)
        .await
        .map_err(Error::api(&options.name, "change the node's labels"))?;
    let patch = Patch::Merge(json!({"spec": {"replicas": 1}}));
    Api::<Deployment>::namespaced(client.clone(), "kube-system")
        .patch("coredns", &parameters, &patch)
        .await
        .map(drop)
        .map_err(Error::api(&options.name, "change the DNS deployment"))
}

/// Removes what this call made, and nothing that somebody else made under the same name.
async fn undo(engine: &Engine, made: &[String]) {
    for id in made {
        let options = RemoveContainerOptionsBuilder::default()
            .force(true)
            .v(true)
            .build();
        if let Err(error) = engine.docker().remove_container(id, Some(options)).await {
            tracing::warn!(container = %id, %error, "could not remove a half-made node");
        }
    }
}
