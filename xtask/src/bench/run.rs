//! All benchmarks, one after the other: two at a time would measure each other.

use std::fs;

use anyhow::Context as _;
use vcluster_harness::{
    asset::{Assets, Component},
    engine::Engine,
    host,
    progress::Progress,
    settings::Settings,
};

use super::{
    cluster::Bench,
    distro::{self, StandIns},
    host as host_bench,
    machine::Machine,
    matrix,
    measurement::Figures,
    report::Report,
    suite,
};
use crate::{
    arguments::{BenchArguments, Only},
    setup,
    soak::build_tests,
};

/// The images of every distro, on the host before anything is measured.
async fn prepare(bench: &Bench<'_>, settings: &Settings) -> anyhow::Result<StandIns> {
    let mut versions = Vec::new();
    for request in matrix::versions() {
        versions.push(bench.assets.resolve(request).await?);
    }
    let stand_ins = StandIns::offer(bench.assets, &versions).await?;
    distro::load(bench, &stand_ins.assets(settings), &versions).await?;
    Ok(stand_ins)
}

/// Measures everything and prints it.
pub(crate) async fn run(arguments: &BenchArguments, settings: &Settings) -> anyhow::Result<Report> {
    let progress = Progress::detect();
    setup::prepare_machine(settings, &progress).await?;
    let assets = Assets::new(settings, progress.clone());
    let images = setup::prepare_images(settings, &assets).await?;
    let engine = Engine::connect().await?;
    let mut figures = Figures::default();

    let runs = arguments.runs;
    for run in (1..=runs).filter(|_| !arguments.no_host && arguments.only.is_none()) {
        let step = progress.step(format!("host {run} of {runs}"));
        let node = &images.node.0.reference;
        host_bench::measure(&engine, node, &Progress::silent(), &mut figures).await?;
        step.done();
    }

    let host = host::shared(settings, &assets, &progress).await?;
    let version = host.client().await?.apiserver_version().await?.git_version;
    let all: Vec<_> = images
        .images
        .into_iter()
        .map(|(component, image, _)| (component, image))
        .collect();
    let loaded: Vec<_> = all.iter().map(|(_, image)| image.clone()).collect();
    host.load(&loaded).await?;
    let (_, shell) = all
        .iter()
        .find(|(component, _)| *component == Component::Shell)
        .context("no image with a shell")?;
    let bench = Bench {
        engine: &engine,
        host: &host,
        assets: &assets,
        image: &shell.reference,
    };
    let stand_ins = match arguments.only {
        Some(Only::Distros) => Some(prepare(&bench, settings).await?),
        _ => None,
    };
    for run in 1..=runs {
        let step = progress.step(format!("virtual cluster {run} of {runs}"));
        let name = format!("bench-{}-{run}", std::process::id());
        match arguments.only {
            Some(Only::Distros) => {
                let stand_ins = stand_ins.as_ref().context("they were prepared")?;
                let assets = stand_ins.assets(settings);
                Box::pin(bench.measure_distros(&assets, &name, &mut figures)).await?;
            }
            Some(Only::Sync) => Box::pin(bench.measure_load(&name, &mut figures)).await?,
            Some(Only::Pool) => Box::pin(bench.measure_pool(&name, &mut figures)).await?,
            Some(Only::Start) => Box::pin(bench.measure_start(&name, &mut figures)).await?,
            Some(Only::Suite) => suite::measure(&host.client().await?, &mut figures).await?,
            None => {
                Box::pin(bench.measure(&name, &mut figures)).await?;
                let name = format!("{name}-pool");
                Box::pin(bench.measure_pool(&name, &mut figures)).await?;
            }
        }
        step.done();
    }
    if arguments.only.is_none() {
        let step = progress.step("two suites of a hundred tests");
        suite::measure(&host.client().await?, &mut figures).await?;
        step.done();
    }

    if let Some(stand_ins) = &stand_ins {
        let program = match &arguments.program {
            Some(path) => path.clone(),
            None => build_tests()?,
        };
        for run in 1..=runs {
            let step = progress.step(format!("matrix {run} of {runs}"));
            matrix::measure(&program, stand_ins.directory.path(), &mut figures)?;
            step.done();
        }
    }

    let report = Report {
        machine: Machine::detect(engine.docker(), &version).await?,
        results: figures.measurements(),
    };
    if let Some(path) = &arguments.json {
        let json = serde_json::to_string_pretty(&report)?;
        fs::write(path, json + "\n")
            .with_context(|| format!("could not write {}", path.display()))?;
    }
    Ok(report)
}
