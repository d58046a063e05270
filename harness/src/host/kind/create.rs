//! Makes a kind cluster: containers, kubeadm, network, storage, and the wait until nodes are ready.

use std::{str::FromStr as _, time::Duration};

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
        Engine, Error, HostCluster,
        node::{Command, Node},
    },
    addons,
    connect::{self, Completion},
    container::{API_PORT, Machine},
    find::find,
    kubeadm::{self, NodeFacts},
    machine, network, nodes,
    options::KindOptions,
    pod_network, ready,
};
use crate::{
    deadline::Deadline,
    progress::{Progress, Step},
    version::KubernetesVersion,
};

/// Shares of the whole time for single steps, so that a step that hangs is named.
const BOOT: Duration = Duration::from_secs(60);
const KUBEADM: Duration = Duration::from_secs(120);

/// Makes a kind cluster and waits until its nodes are ready and take pods.
///
/// When it fails, what was made is removed, unless the options say to retain it. A process that is
/// killed leaves a cluster that [`connect`](super::connect()) recognises as half-made.
///
/// # Errors
/// There is one of this name, the options mean nothing, the engine refuses, or a step fails or takes
/// too long.
pub async fn create(
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
    network::ensure(engine).await?;
    let machine = machine::inspect(engine, options).await?;
    nodes::make(engine, options, &machine, made).await?;
    nodes::start(engine, made.iter().map(String::as_str)).await?;
    let nodes = nodes::of_options(engine, options).await?;

    step.detail("booting");
    let manifest = addons::network_manifest(&nodes[0]).await?;
    let prepared = nodes.iter().enumerate().map(|(position, node)| {
        prepare(
            node,
            position,
            options,
            &machine,
            manifest.is_none(),
            deadline,
        )
    });
    try_join_all(prepared).await?;

    step.detail("kubeadm init");
    init(&nodes[0], deadline).await?;
    let host = host(engine, options, &nodes).await?;
    let client = host.client().await?;

    step.detail("nodes, network and storage");
    let joined = try_join_all(nodes[1..].iter().map(|node| join(node, deadline)));
    let networked = set_up_network(&client, options, &nodes, manifest.as_deref(), deadline);
    let stored = store(&client, options, &nodes[0]);
    let tuned = tune(&client, options, &nodes[0]);
    // All four go on together; the first failure ends the rest, which are undone with the containers.
    tokio::try_join!(joined, networked, stored, tuned)?;

    step.detail("waiting for nodes");
    ready::ready(&client, &options.name, nodes.len(), None, deadline).await?;
    let own_pod_network = manifest.is_none().then(|| options.pod_subnet.clone());
    Completion { own_pod_network }.record(&nodes[0]).await?;
    Ok(host)
}

/// Boots a node and writes its configuration meanwhile.
async fn prepare(
    node: &Node,
    position: usize,
    options: &KindOptions,
    machine: &Machine,
    has_own_network: bool,
    deadline: Deadline,
) -> Result<(), Error> {
    let boot = ready::booted(node, &options.name, deadline.step("boot", BOOT));
    let configure = async {
        let release = node.read("/kind/version").await?.unwrap_or_default();
        let release = release.trim();
        let facts = NodeFacts {
            name: &node.name,
            role: nodes::role(position),
            address: node.address,
            release,
            version: version(release, options)?,
            is_rootless: machine.is_rootless,
        };
        node.write(kubeadm::PATH, &kubeadm::config(options, facts)?)
            .await?;
        if !has_own_network {
            return Ok(());
        }
        if options.workers == 0 {
            // Known beforehand, so the node is ready at once.
            let own = pod_network::alone(node, &options.pod_subnet)?;
            pod_network::set_up(node, &[own], &options.pod_subnet).await
        } else {
            pod_network::clear(node).await
        }
    };
    tokio::try_join!(boot, configure).map(drop)
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
    manifest: Option<&str>,
    deadline: Deadline,
) -> Result<(), Error> {
    if let Some(manifest) = manifest {
        let endpoint = format!("{}-control-plane:{API_PORT}", options.name);
        let objects = addons::network_objects(manifest, &options.pod_subnet, &endpoint)?;
        return addons::apply(client, &options.name, &objects).await;
    }
    if nodes.len() > 1 {
        pod_network::join(client, &options.name, nodes, &options.pod_subnet, deadline).await?;
    }
    Ok(())
}

async fn store(client: &Client, options: &KindOptions, node: &Node) -> Result<(), Error> {
    let objects = addons::storage_objects(node).await?;
    addons::apply(client, &options.name, &objects).await
}

/// A lone node takes load-balanced traffic too, and one DNS server is enough for a test host.
async fn tune(client: &Client, options: &KindOptions, node: &Node) -> Result<(), Error> {
    let parameters = PatchParams::default();
    if options.workers == 0 {
        let label = "node.kubernetes.io/exclude-from-external-load-balancers";
        let patch = Patch::Merge(json!({"metadata": {"labels": {label: null}}}));
        Api::<KubernetesNode>::all(client.clone())
            .patch_metadata(&node.name, &parameters, &patch)
            .await
            .map_err(Error::api(&options.name, "change the node's labels"))?;
    }
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
