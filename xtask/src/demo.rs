//! The demo: from whatever machine this is to the example operator's test, told in a dozen lines.

use std::{
    io::{BufRead as _, BufReader},
    process::Stdio,
};

use anyhow::{Context as _, bail};
use vcluster_harness::{
    asset::{Assets, Origin, Prefetched},
    host,
    progress::Progress,
    settings::Settings,
};

use crate::{process, setup, story::Story, workspace};

const TEST_PROGRAM: &str = "guestbook";
const TEST: &str = "guestbook_answers::k8s_1_34";
/// The test marks what it has to tell by this.
const MARK: &str = "» ";

/// Sets up, runs the test and tells what happens.
pub(crate) async fn run(settings: &Settings) -> anyhow::Result<()> {
    let progress = Progress::detect();
    let mut story = Story::begin();

    setup::prepare_machine(settings, &progress).await?;
    story.tell("a Docker engine is there");

    let assets = Assets::new(settings, progress.clone());
    let prefetched = setup::prepare_images(settings, &assets).await?;
    story.tell(&format!("the images are there: {}", sources(&prefetched)));

    let host = host::shared(settings, &assets, &progress).await?;
    let version = host.client().await?.apiserver_version().await?.git_version;
    story.tell(&format!(
        "the host `{}` is up: a kind cluster of Kubernetes {version}, shared by all tests",
        host.name()
    ));

    build()?;
    story.tell("the example operator and its test are compiled");
    let step = progress.step(format!("test {TEST}"));
    watch(&mut story)?;
    step.done();

    story.end("in all; the next run takes only the lines after the host");
    Ok(())
}

fn build() -> anyhow::Result<()> {
    let mut cargo = workspace::cargo();
    cargo.args(["test", "--workspace", "--test", TEST_PROGRAM, "--no-run"]);
    Ok(process::run(&mut cargo)?)
}

/// Runs the test and passes on what it tells. The rest of what it says is shown when it fails.
fn watch(story: &mut Story) -> anyhow::Result<()> {
    let mut cargo = workspace::cargo();
    cargo
        .args(["test", "--quiet", "--workspace", "--test", TEST_PROGRAM])
        .args(["--", "--exact", TEST, "--nocapture"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    let mut child = cargo
        .spawn()
        .map_err(|source| process::start_error(&cargo, source))?;
    let output = child.stdout.take().context("the test has no output")?;
    let (mut rest, mut told) = (String::new(), 0);
    for line in BufReader::new(output).lines() {
        let line = line?;
        if let Some(what) = line.trim_start_matches('.').strip_prefix(MARK) {
            story.tell(what);
            told += 1;
        } else {
            rest.push_str(&line);
            rest.push('\n');
        }
    }
    let status = child.wait()?;
    if !status.success() {
        bail!("the test {TEST} failed ({status}){}", process::tail(&rest));
    }
    if told == 0 {
        bail!("no test called {TEST} ran");
    }
    Ok(())
}

/// Where the images came from, such as `7 from the cache, 2 built from source`.
fn sources(prefetched: &Prefetched) -> String {
    let origins: Vec<Origin> = prefetched
        .images
        .iter()
        .map(|(_, image, _)| image.origin)
        .chain([prefetched.node.0.origin])
        .collect();
    let words = [
        (Origin::Directory, "from VCLUSTER_TEST_ASSETS"),
        (Origin::Cache, "from the cache"),
        (Origin::Engine, "in the engine already"),
        (Origin::Registry, "from a registry"),
        (Origin::Built, "built from source"),
    ];
    words
        .into_iter()
        .filter_map(|(origin, words)| {
            let count = origins.iter().filter(|each| **each == origin).count();
            (count > 0).then(|| format!("{count} {words}"))
        })
        .collect::<Vec<_>>()
        .join(", ")
}
