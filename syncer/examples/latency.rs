//! How long a syncer takes: makes objects in a virtual cluster at a fixed rate and watches for their
//! twins on the host. The syncer under test runs elsewhere.
//!
//! ```text
//! cargo run --release --example latency -- --virtual-kubeconfig V --host-kubeconfig H \
//!     --cluster vc-1 --host-namespace vc-1 --kind pod --rate 100 --count 1000
//! ```

use std::{
    collections::HashMap,
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::Context;
use clap::{Parser, ValueEnum};
use futures::StreamExt;
use k8s_openapi::{
    api::core::v1::{ConfigMap, Container, Namespace, Pod, PodSchedulingGate, PodSpec},
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use kube::{
    Api, Client, Config, ResourceExt,
    api::{DeleteParams, PostParams},
    config::{KubeConfigOptions, Kubeconfig},
    runtime::watcher::{self, watcher},
};
use tokio::{task::JoinSet, time::interval};
use vcluster_syncer::{ObjectKey, labels, naming::NameTranslator, resource::Synced};

#[derive(Debug, Parser)]
struct Arguments {
    #[arg(long)]
    virtual_kubeconfig: PathBuf,
    #[arg(long)]
    host_kubeconfig: PathBuf,
    #[arg(long)]
    cluster: String,
    #[arg(long)]
    host_namespace: String,
    #[arg(long, value_enum, default_value = "pod")]
    kind: Kind,
    /// Objects a second.
    #[arg(long, default_value_t = 100)]
    rate: u32,
    #[arg(long, default_value_t = 1000)]
    count: usize,
    /// Leaves the objects there.
    #[arg(long)]
    keep: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Kind {
    /// Pods that wait at a scheduling gate, so that no kubelet has a part in it.
    Pod,
    /// Config maps that are synced although nothing uses them.
    ConfigMap,
}

const NAMESPACE: &str = "latency";

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    match arguments.kind {
        Kind::Pod => measure(&arguments, pod).await,
        Kind::ConfigMap => measure(&arguments, config_map).await,
    }
}

async fn measure<K: Synced>(arguments: &Arguments, make: fn(usize) -> K) -> anyhow::Result<()> {
    let on_virtual = client(&arguments.virtual_kubeconfig).await?;
    let on_host = client(&arguments.host_kubeconfig).await?;
    let namespaces: Api<Namespace> = Api::all(on_virtual.clone());
    let mut namespace = Namespace::default();
    namespace.metadata.name = Some(NAMESPACE.to_owned());
    if namespaces.get_opt(NAMESPACE).await?.is_none() {
        namespaces
            .create(&PostParams::default(), &namespace)
            .await?;
        // Its service account is made a moment later, and pods need one.
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
    let names = NameTranslator::new(&arguments.cluster, &arguments.host_namespace);
    let api = K::api(&on_virtual, Some(NAMESPACE));
    let watching = tokio::spawn(arrivals::<K>(
        on_host,
        arguments.host_namespace.clone(),
        arguments.count,
    ));
    tokio::time::sleep(Duration::from_millis(500)).await;

    let mut requests = JoinSet::new();
    let mut ticks = interval(Duration::from_secs(1) / arguments.rate);
    for index in 0..arguments.count {
        ticks.tick().await;
        let (api, object) = (api.clone(), make(index));
        requests.spawn(async move {
            let asked = Instant::now();
            let object = api.create(&PostParams::default(), &object).await;
            (
                object.map(|object| ObjectKey::of(&object)),
                asked,
                Instant::now(),
            )
        });
    }
    let mut there = HashMap::new();
    while let Some(result) = requests.join_next().await {
        let (key, asked, answered) = result?;
        there.insert(names.host_key(&key?).name, (asked, answered));
    }
    let arrived = tokio::time::timeout(Duration::from_mins(2), watching)
        .await
        .context("not everything arrived within two minutes")??;
    let since = |from: fn(&(Instant, Instant)) -> Instant| {
        let mut millis: Vec<f64> = arrived
            .iter()
            .filter_map(|(name, at)| Some((there.get(name)?, at)))
            .map(|(times, at)| at.saturating_duration_since(from(times)).as_secs_f64() * 1000.0)
            .collect();
        millis.sort_by(f64::total_cmp);
        millis
    };
    report(
        "request sent → twin seen on the host",
        &since(|(asked, _)| *asked),
    );
    report(
        "request answered → twin seen on the host",
        &since(|(_, answered)| *answered),
    );
    if !arguments.keep {
        namespaces
            .delete(NAMESPACE, &DeleteParams::default())
            .await?;
    }
    Ok(())
}

/// When each of `count` new objects was seen on the host.
async fn arrivals<K: Synced>(
    host: Client,
    namespace: String,
    count: usize,
) -> HashMap<String, Instant> {
    let mut events = watcher(
        K::api(&host, Some(&namespace)),
        watcher::Config::default().labels(&format!("{}={NAMESPACE}", labels::NAMESPACE)),
    )
    .boxed();
    let mut seen = HashMap::new();
    while seen.len() < count {
        if let Some(Ok(watcher::Event::Apply(object))) = events.next().await {
            seen.entry(object.name_any()).or_insert_with(Instant::now);
        }
    }
    seen
}

#[expect(clippy::print_stdout, reason = "this is what the program is for")]
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "an index from a share"
)]
fn report(what: &str, millis: &[f64]) {
    let at = |share: f64| millis[((millis.len() - 1) as f64 * share) as usize];
    println!(
        "{what}: n={} p50={:.1} ms p90={:.1} ms p99={:.1} ms max={:.1} ms",
        millis.len(),
        at(0.5),
        at(0.9),
        at(0.99),
        at(1.0),
    );
}

async fn client(path: &std::path::Path) -> anyhow::Result<Client> {
    let kubeconfig = Kubeconfig::read_from(path)?;
    let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
    Ok(Client::try_from(config)?)
}

fn meta(index: usize) -> ObjectMeta {
    ObjectMeta {
        name: Some(format!("object-{index}")),
        namespace: Some(NAMESPACE.to_owned()),
        ..ObjectMeta::default()
    }
}

fn pod(index: usize) -> Pod {
    Pod {
        metadata: meta(index),
        spec: Some(PodSpec {
            containers: vec![Container {
                name: "main".to_owned(),
                image: Some("registry.k8s.io/pause:3.10.1".to_owned()),
                ..Container::default()
            }],
            scheduling_gates: Some(vec![PodSchedulingGate {
                name: "vcluster-test.dev/latency".to_owned(),
            }]),
            ..PodSpec::default()
        }),
        status: None,
    }
}

fn config_map(index: usize) -> ConfigMap {
    let mut metadata = meta(index);
    metadata.annotations = Some([(labels::FORCE_SYNC.to_owned(), "true".to_owned())].into());
    ConfigMap {
        metadata,
        data: Some([("key".to_owned(), "value".to_owned())].into()),
        ..ConfigMap::default()
    }
}
