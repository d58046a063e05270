//! `delete`: by name, whoever made the cluster.

use std::time::Duration;

use vcluster_harness::{cluster, deadline::Deadline};

use super::{hosts::Hosts, run::Context};
use crate::{
    exit::{Exit, Failure},
    report::Deleted,
};

/// All names are looked up before the first cluster is deleted.
pub(super) async fn delete(
    cx: &Context,
    names: Vec<String>,
    wait: Option<Duration>,
) -> Result<Exit, Failure> {
    let hosts = Hosts::find(cx).await?;
    let mut clusters = Vec::new();
    for name in &names {
        clusters.push(hosts.cluster(name).await?);
    }
    for found in &clusters {
        cluster::delete(&found.client, &found.record.namespace).await?;
    }
    if let Some(limit) = wait {
        let deadline = Deadline::after("deletion", limit);
        for found in &clusters {
            let step = cx.progress.step(format!("deleting {}", found.record.name));
            cluster::wait_until_gone(&found.client, &found.record.namespace, deadline).await?;
            step.done();
        }
    }
    cx.print(&Deleted {
        deleted: names,
        gone: wait.is_some(),
    })?;
    Ok(Exit::Good)
}
