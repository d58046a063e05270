//! `soak`: tests that are killed at any moment, over and over, and then a look at what is left.

mod cycle;
mod leftovers;
mod luck;
mod report;

use std::time::{Duration, Instant};

use anyhow::Context as _;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use vcluster_harness::{
    asset::Assets, deadline::Deadline, engine::Engine, host, progress::Progress, settings::Settings,
};

pub(crate) use self::cycle::build_tests;
use self::{
    cycle::{End, Moment, Program},
    leftovers::{Before, Victims},
    luck::Luck,
    report::Report,
};
use crate::{arguments::SoakArguments, setup};

/// How long reapers and the host may take to finish their work after the last cycle.
const SETTLE: Duration = Duration::from_mins(3);
/// How often it is looked whether they have.
const LOOK: Duration = Duration::from_millis(500);

/// Runs the cycles and gives what is to be said; fails when something is left.
pub(crate) async fn run(arguments: &SoakArguments, settings: &Settings) -> anyhow::Result<String> {
    let progress = Progress::detect();
    setup::prepare_all(settings, &progress).await?;
    let assets = Assets::new(settings, progress.clone());
    let host = host::shared(settings, &assets, &progress).await?;
    let client = host.client().await?;
    let engine = Engine::connect().await?;
    let program = match &arguments.program {
        Some(path) => Program::at(path.clone())?,
        None => Program::build()?,
    };
    let before = Before::look(&engine, settings).await?;

    let seed = arguments.seed.unwrap_or_else(luck::seed);
    let mut report = Report::new(seed, arguments.kill);
    let mut victims = Victims::default();
    let began = Instant::now();
    let run = async |number: u32, end: End| {
        let step = progress.step(format!("cycle {number} of {}", arguments.cycles));
        let cycle = program.run(number, end).await;
        let cycle = cycle.with_context(|| format!("cycle {number} (seed {seed})"))?;
        step.done();
        anyhow::Ok((end, cycle))
    };
    // The first and the last come to their end: what a cycle says and when, and the sweep of what the killed ones
    // left.
    let (_, first) = run(1, End::Whole).await?;
    let ends = ends(arguments.kill, Luck::new(seed), first.pace.clone());
    let cycles = (2..arguments.cycles).zip(ends);
    let mut between = stream::iter(cycles)
        .map(|(number, end)| run(number, end))
        .buffer_unordered(usize::from(arguments.jobs));
    let mut ended = vec![(End::Whole, first)];
    while let Some(cycle) = between.try_next().await? {
        ended.push(cycle);
    }
    if arguments.cycles > 1 {
        ended.push(run(arguments.cycles, End::Whole).await?);
    }
    for (end, cycle) in &ended {
        victims.add(cycle);
        report.add(*end, cycle);
    }
    let deadline = Deadline::after("settling", SETTLE);
    let left = loop {
        let left = leftovers::look(&client, &engine, settings, &before, &victims, &program).await?;
        if left.is_empty() || deadline.is_over() {
            break left;
        }
        tokio::time::sleep(LOOK).await;
    };
    report.finish(began.elapsed(), deadline.elapsed(), &left)
}

/// How cycles end. Those that are killed are so all over the life of one that said its words at this pace.
fn ends(kill: bool, mut luck: Luck, pace: Vec<Duration>) -> impl Iterator<Item = End> {
    std::iter::from_fn(move || {
        if !kill {
            return Some(End::Whole);
        }
        let lines = luck.number_below(pace.len());
        let at = |line: usize| pace.get(line).copied().unwrap_or_default();
        let before = lines.checked_sub(1).map_or(Duration::ZERO, at);
        Some(End::Killed {
            at: Moment {
                lines,
                and: luck.below(at(lines).saturating_sub(before)),
            },
            with_reaper: luck.one_in(5),
        })
    })
}
