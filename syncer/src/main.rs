//! The program that runs in every virtual cluster's control-plane pod.

use std::{env, fs, io, path::PathBuf, process::ExitCode, sync::Arc};

use anyhow::Context;
use clap::{Parser, Subcommand};
use kube::{
    Config,
    config::{KubeConfigOptions, Kubeconfig},
};
use tokio::signal::unix::{SignalKind, signal};
use tracing::{error, info};
use tracing_subscriber::{
    filter::{LevelFilter, Targets},
    fmt,
    layer::SubscriberExt as _,
    util::SubscriberInitExt as _,
};
use vcluster_syncer::{
    Syncer, client,
    clusters::Clusters,
    config::SyncConfig,
    relay::{self, SharedDirectory},
    reset,
    resources::pod::hosts::with_full_name,
    write::Side,
};

/// Syncs a virtual Kubernetes cluster with its host.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs until it is told to stop.
    Run {
        /// The configuration file.
        #[arg(long)]
        config: PathBuf,
        /// A kubeconfig for the host, instead of the service account of the pod. For debugging.
        #[arg(long)]
        host_kubeconfig: Option<PathBuf>,
    },
    /// Copies a hosts file with a pod's full name in it, then ends. Runs before the pod's containers.
    Hosts {
        /// The name that the file has for the pod.
        #[arg(long)]
        hostname: String,
        /// The name that comes before it.
        #[arg(long)]
        full_name: String,
        /// The file.
        #[arg(long)]
        from: PathBuf,
        /// The copy.
        #[arg(long)]
        to: PathBuf,
    },
    /// Saves the virtual cluster's store, or puts it back.
    #[command(subcommand)]
    Store(reset::command::Command),
}

fn main() -> ExitCode {
    // By the part of the program and nothing finer, for which all of this program lies in memory.
    let chosen = env::var("VCLUSTER_SYNCER_LOG").ok();
    let chosen = chosen.and_then(|text| text.parse::<Targets>().ok());
    let filter = chosen.unwrap_or_else(|| {
        // The clients report every refused connection while an API server starts.
        let silent = ["kube_client", "kube_runtime"].map(|part| (part, LevelFilter::OFF));
        Targets::new()
            .with_default(LevelFilter::INFO)
            .with_targets(silent)
    });
    let lines = fmt::layer().with_writer(io::stderr).with_ansi(false);
    tracing_subscriber::registry()
        .with(filter)
        .with(lines)
        .init();
    // The first to install wins; a second one is the same.
    let _first = rustls::crypto::ring::default_provider().install_default();
    match start(Arguments::parse()) {
        Ok(code) => code,
        Err(cause) => {
            error!(error = format!("{cause:#}"), "ended");
            ExitCode::FAILURE
        }
    }
}

fn start(arguments: Arguments) -> anyhow::Result<ExitCode> {
    match arguments.command {
        Command::Run {
            config,
            host_kubeconfig,
        } => sync(config, host_kubeconfig)?,
        Command::Hosts {
            hostname,
            full_name,
            from,
            to,
        } => {
            let text = fs::read_to_string(&from)
                .with_context(|| format!("could not read {}", from.display()))?;
            fs::write(&to, with_full_name(&text, &hostname, &full_name))
                .with_context(|| format!("could not write {}", to.display()))?;
        }
        Command::Store(command) => return reset::command::run(command),
    }
    Ok(ExitCode::SUCCESS)
}

fn sync(config: PathBuf, host_kubeconfig: Option<PathBuf>) -> anyhow::Result<()> {
    // Two threads: one may be busy with a long list while the other one keeps the relay going.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("could not start the runtime")?;
    let ended = runtime.block_on(run(config, host_kubeconfig));
    // After a second signal nobody waits for what is still under way.
    runtime.shutdown_background();
    ended
}

async fn run(config: PathBuf, host_kubeconfig: Option<PathBuf>) -> anyhow::Result<()> {
    let config = SyncConfig::load(&config)?;
    let virtual_config = from_file(&config.virtual_kubeconfig).await?;
    let host_config = match host_kubeconfig {
        Some(path) => from_file(&path).await?,
        None => Config::incluster().context("could not read this pod's service account")?,
    };
    let metrics = Arc::default();
    let virtual_client = client::connect(virtual_config, Side::Virtual, &metrics)
        .context("could not make the virtual client")?;
    let host_client = client::connect(host_config.clone(), Side::Host, &metrics)
        .context("could not make the host client")?;
    info!(cluster = %config.cluster, step = "start", "starting");
    let relay_config = config.clone();
    let relay_client = virtual_client.clone();
    let clusters = Clusters::counting(virtual_client, host_client, config, metrics);
    // Before the watches start, so that it misses nothing.
    let directory = SharedDirectory::following(&clusters.caches, &relay_config);
    let mut syncer = Syncer::start(clusters);
    syncer.serve_health().await?;
    let stop = syncer.stop_token();
    syncer.run_with(async move {
        if let Err(cause) = Box::pin(relay::run(
            &relay_config,
            directory,
            host_config,
            relay_client,
            &stop,
        ))
        .await
        {
            error!(
                error = format!("{:#}", anyhow::Error::from(cause)),
                "the relay ended"
            );
        }
    });

    let mut interrupted =
        signal(SignalKind::interrupt()).context("could not listen for signals")?;
    let mut terminated = signal(SignalKind::terminate()).context("could not listen for signals")?;
    // Signals that arrive while another branch is taken stay pending; a task that ended ends us.
    tokio::select! {
        _ = interrupted.recv() => {}
        _ = terminated.recv() => {}
        () = syncer.wait_for_failure() => anyhow::bail!("a part of the syncer ended"),
    }
    info!(step = "stop", "stopping; a second signal ends at once");
    tokio::select! {
        () = syncer.shutdown() => info!(step = "stop", "stopped"),
        _ = interrupted.recv() => {}
        _ = terminated.recv() => {}
    }
    Ok(())
}

async fn from_file(path: &std::path::Path) -> anyhow::Result<Config> {
    let kubeconfig = Kubeconfig::read_from(path)
        .with_context(|| format!("could not read {}", path.display()))?;
    Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
        .await
        .with_context(|| format!("could not use {}", path.display()))
}
