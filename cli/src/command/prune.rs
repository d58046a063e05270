//! `prune`: what nobody owns any more.

use vcluster_harness::reaper::{self, Reaper};

use super::{hosts::Hosts, run::Context};
use crate::{
    exit::{Exit, Failure},
    report::{Leftover, Pruned},
};

pub(super) async fn prune(cx: &Context, dry_run: bool) -> Result<Exit, Failure> {
    let reaper = Reaper::new(&cx.settings);
    let hosts = Hosts::find(cx).await?;
    let mut clusters = Vec::new();
    for host in &hosts.up {
        let client = host.client().await?;
        let found = if dry_run {
            reaper.survey(&client).await
        } else {
            reaper.sweep(&client).await
        };
        let found = found.map_err(|error| Failure::new(Exit::Host, error))?;
        clusters.extend(found.into_iter().map(row));
    }
    cx.print(&Pruned { dry_run, clusters })?;
    Ok(Exit::Good)
}

fn row(leftover: reaper::Leftover) -> Leftover {
    Leftover {
        test: leftover.owner.test,
        because: leftover.verdict.to_string(),
        namespace: leftover.namespace,
    }
}
