//! `host`: the kind clusters that carry virtual ones.

use std::time::Instant;

use vcluster_harness::{
    asset::Assets,
    engine::Engine,
    host::{self, kind},
    settings::HostChoice,
};

use super::run::Context;
use crate::{
    exit::{Exit, Failure},
    report::{Host, HostDown, HostList, HostUp},
};

pub(super) async fn up(cx: &Context) -> Result<Exit, Failure> {
    let started = Instant::now();
    let assets = Assets::new(&cx.settings, cx.progress.clone());
    let host = host::shared(&cx.settings, &assets, &cx.progress).await?;
    let client = host.client().await?;
    // Who starts a host by hand deletes it by hand.
    if !matches!(cx.settings.host, HostChoice::Kubeconfig { .. }) {
        host::idle::stand(&client)
            .await
            .map_err(|error| Failure::new(Exit::Host, error))?;
    }
    let version = client
        .apiserver_version()
        .await
        .map_err(|error| Failure::new(Exit::Host, error))?;
    cx.print(&HostUp {
        name: host.name().to_owned(),
        version: version.git_version,
        node_addresses: host
            .node_addresses()
            .iter()
            .map(ToString::to_string)
            .collect(),
        seconds: started.elapsed().as_secs_f64(),
    })?;
    Ok(Exit::Good)
}

/// Only a name that was given brings down a host that is not ours.
pub(super) async fn down(cx: &Context, name: Option<String>) -> Result<Exit, Failure> {
    let engine = Engine::connect().await?;
    let hosts = kind::list(&engine).await?;
    let chosen: Vec<String> = hosts
        .into_iter()
        .filter(|host| {
            name.as_ref()
                .map_or(host.is_ours, |name| *name == host.name)
        })
        .map(|host| host.name)
        .collect();
    let name = match &chosen[..] {
        [one] => one.clone(),
        [] => {
            return Err(Failure::nothing_selected(&match name {
                Some(name) => format!("there is no host {name}"),
                None => "there is no host of ours".to_owned(),
            }));
        }
        several => {
            let several = several.join(", ");
            return Err(Failure::usage(&format!(
                "there are several hosts ({several}); name one"
            )));
        }
    };
    let started = Instant::now();
    let step = cx.progress.step(format!("deleting host {name}"));
    kind::delete(&engine, &name).await?;
    step.done();
    cx.print(&HostDown {
        name,
        seconds: started.elapsed().as_secs_f64(),
    })?;
    Ok(Exit::Good)
}

pub(super) async fn list(cx: &Context) -> Result<Exit, Failure> {
    let engine = Engine::connect().await?;
    let hosts = kind::list(&engine).await?;
    cx.print(&HostList {
        hosts: hosts
            .into_iter()
            .map(|host| Host {
                running: host.is_running(),
                ours: host.is_ours,
                nodes: host
                    .containers
                    .iter()
                    .map(|container| container.name.clone())
                    .collect(),
                name: host.name,
            })
            .collect(),
    })?;
    Ok(Exit::Good)
}
