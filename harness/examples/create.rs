//! Starts a virtual cluster, says how long each part took, runs a pod in it and deletes it again.
//!
//! ```sh
//! cargo run -p vcluster-harness --example create -- 1.34
//! ```

#![expect(clippy::print_stdout, reason = "what it prints is its result")]

use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::Pod;
use kube::{Api, api::PostParams, runtime::conditions::is_pod_running};
use serde_json::json;
use vcluster_harness::{
    asset::{Assets, Component},
    cluster::VirtualCluster,
    deadline::Deadline,
    host,
    progress::Progress,
    settings::Settings,
    wait,
};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let version = std::env::args().nth(1).unwrap_or_else(|| "1.34".to_owned());
    let settings = Settings::from_process()?;
    let progress = Progress::detect();
    let assets = Assets::new(&settings, progress.clone());
    let host = host::shared(&settings, &assets, &progress).await?;

    let started = Instant::now();
    let cluster = VirtualCluster::builder("example")
        .version(version.parse()?)
        .timeout(settings.start_timeout)
        .start(&host, &assets)
        .await?;
    let ready = started.elapsed();
    for (phase, elapsed) in cluster.phases().iter() {
        say(phase.name(), elapsed);
    }
    say("start", ready);

    let pods: Api<Pod> = Api::default_namespaced(cluster.client());
    let image = cluster.image(Component::Shell).await?;
    pods.create(&PostParams::default(), &sleeper(&image)?)
        .await?;
    say("pod created", started.elapsed());
    let running = Deadline::after("running", Duration::from_secs(30));
    let outcome = wait::until(&pods, "sleeper", is_pod_running(), running).await;
    say("pod running", started.elapsed());

    let started = Instant::now();
    cluster.delete().await?;
    say("delete", started.elapsed());
    let gone = Deadline::after("cluster", settings.stop_timeout);
    cluster.wait_until_gone(gone).await?;
    say("gone", started.elapsed());
    outcome?;
    Ok(())
}

fn sleeper(image: &str) -> serde_json::Result<Pod> {
    serde_json::from_value(json!({
        "metadata": { "name": "sleeper" },
        "spec": {
            "terminationGracePeriodSeconds": 0,
            "containers": [{ "name": "sleeper", "image": image, "command": ["sleep", "3600"] }],
        },
    }))
}

fn say(what: &str, elapsed: Duration) {
    println!("{what:>12} {:7.3} s", elapsed.as_secs_f64());
}
