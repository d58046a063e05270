//! `create` and `list`.

use std::time::Instant;

use anyhow::anyhow;
use tokio::signal::unix::{SignalKind, signal};
use vcluster_harness::{
    asset::Assets,
    cluster::{self, VirtualCluster},
    datastore::Datastore,
    distro, host,
    owner::Owner,
};

use super::{
    hosts::{Found, Hosts},
    run::Context,
};
use crate::{
    arguments::CreateArguments,
    exit::{Exit, Failure},
    report::{Cluster, ClusterList, Created},
};

/// A cluster without a process that owns it: it lives until it is deleted.
pub(super) async fn create(cx: &Context, arguments: CreateArguments) -> Result<Exit, Failure> {
    let started = Instant::now();
    // What is wrong with the command line is said before anything is started.
    let distro =
        distro::find(&arguments.distro).map_err(|error| Failure::new(Exit::Usage, error))?;
    let store = arguments.store.as_deref().map(store).transpose()?;
    let assets = Assets::new(&cx.settings, cx.progress.clone());
    let namespace = format!("vc-{}", arguments.name);
    let mut builder = VirtualCluster::builder(&arguments.name)
        .namespace(&namespace)
        .distro(distro)
        .replicas(arguments.replicas)
        .owner(Owner::standing())
        .timeout(cx.settings.start_timeout);
    if let Some(store) = store {
        builder = builder.store(store);
    }
    if let Some(version) = arguments.version {
        assets.resolve(version).await?;
        builder = builder.version(version);
    }
    let host = host::shared(&cx.settings, &assets, &cx.progress).await?;
    let client = host.client().await?;
    let exists = cluster::list(&client)
        .await
        .map_err(|error| Failure::new(Exit::Host, error))?
        .iter()
        .any(|record| record.name == arguments.name);
    if exists {
        let name = &arguments.name;
        return Err(Failure::usage(&format!(
            "there is a virtual cluster {name} already; delete it or choose another name"
        )));
    }
    let step = cx
        .progress
        .step(format!("virtual cluster {}", arguments.name));
    let start = Box::pin(builder.start(&host, &assets));
    let cluster = tokio::select! {
        started = start => started?,
        // A start that is dropped half-way leaves what it made, and nobody owns it.
        () = interruption() => {
            cluster::delete(&client, &namespace).await?;
            return Err(Failure::new(Exit::Unexpected, anyhow!("interrupted; nothing is left")));
        }
    };
    // It outlives this process, and nobody is to be warned of that.
    cluster
        .keep(&Owner::standing())
        .await
        .map_err(|error| Failure::new(Exit::Host, error))?;
    step.done();
    cx.print(&Created {
        name: cluster.name().to_owned(),
        namespace: cluster.namespace().to_owned(),
        distro: arguments.distro,
        version: cluster.version().map(|version| version.to_string()),
        seconds: started.elapsed().as_secs_f64(),
    })?;
    Ok(Exit::Good)
}

fn store(text: &str) -> Result<Datastore, Failure> {
    let environment = |name: &str| std::env::var(name).ok();
    Datastore::named(text, environment).map_err(|error| Failure::new(Exit::Usage, error))
}

/// The first Ctrl-C or SIGTERM. Where there are no signals it never comes.
async fn interruption() {
    let Ok(mut terminate) = signal(SignalKind::terminate()) else {
        return std::future::pending().await;
    };
    tokio::select! {
        // Both only wait; nothing is lost by dropping either.
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
}

pub(super) async fn list(cx: &Context) -> Result<Exit, Failure> {
    let hosts = Hosts::find(cx).await?;
    let clusters = hosts.clusters().await?;
    cx.print(&ClusterList {
        clusters: clusters.into_iter().map(row).collect(),
    })?;
    Ok(Exit::Good)
}

fn row(found: Found) -> Cluster {
    let record = found.record;
    let owner = record.owner.as_ref();
    Cluster {
        host: found.host.name().to_owned(),
        test: owner.and_then(|owner| owner.test.clone()),
        expires_at: owner
            .and_then(|owner| owner.expires_at)
            .map(|at| at.to_string()),
        created_at: record.created.map(|at| at.to_string()),
        deleting: record.is_deleting,
        distro: record.distro,
        version: record.version.map(|version| version.to_string()),
        name: record.name,
        namespace: record.namespace,
    }
}
