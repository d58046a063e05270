//! `prune`: what nobody owns or uses any more, on the hosts, in the engine and in the cache.

use vcluster_harness::{
    engine::Engine,
    prune::{self, Item},
    reaper::{self, Reaper},
    settings::HostChoice,
};

use super::{hosts::Hosts, run::Context};
use crate::{
    exit::{Exit, Failure},
    report::{Leftover, Pruned},
};

pub(super) async fn prune(cx: &Context, dry_run: bool) -> Result<Exit, Failure> {
    let mut clusters = Vec::new();
    let mut others = Vec::new();
    let engine = match cx.settings.host {
        HostChoice::Kubeconfig { .. } => None,
        _ => Some(Engine::connect().await?),
    };
    // Hosts first: what is broken about them need not be asked for its clusters.
    if let Some(engine) = &engine {
        let found = prune::of_engine(&cx.settings, engine).await;
        others.extend(settle(found.map_err(failed)?, dry_run).await?);
    }
    for host in &Hosts::find(cx).await?.up {
        let client = host.client().await?;
        let reaper = Reaper::new(&cx.settings);
        let found = if dry_run {
            reaper.survey(&client).await
        } else {
            reaper.sweep(&client).await
        };
        let found = found.map_err(|error| Failure::new(Exit::Host, error))?;
        clusters.extend(found.into_iter().map(row));
    }
    let found = prune::of_cache(&cx.settings).map_err(failed)?;
    others.extend(settle(found, dry_run).await?);
    cx.print(&Pruned {
        dry_run,
        clusters,
        others,
    })?;
    Ok(Exit::Good)
}

/// Removes what was found, unless only the list is wanted. What came to be used meanwhile is left out.
async fn settle(items: Vec<Item>, dry_run: bool) -> Result<Vec<Item>, Failure> {
    if dry_run {
        return Ok(items);
    }
    let mut removed = Vec::new();
    for item in items {
        // The first of the directories of dead processes takes the others along.
        if item.remove().await.map_err(failed)? || item.kind == prune::Kind::Run {
            removed.push(item);
        }
    }
    Ok(removed)
}

fn failed(error: prune::Error) -> Failure {
    match error {
        prune::Error::Engine(error) => error.into(),
        prune::Error::Host(error) => error.into(),
        error => Failure::new(Exit::Unexpected, error),
    }
}

fn row(leftover: reaper::Leftover) -> Leftover {
    Leftover {
        test: leftover.owner.test,
        because: leftover.verdict.to_string(),
        namespace: leftover.namespace,
    }
}
