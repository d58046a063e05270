//! `soak`: tests that are killed at any moment, over and over, and then a look at what is left.

mod cycle;
mod leftovers;
mod luck;
mod report;

use std::time::{Duration, Instant};

use anyhow::Context as _;
use vcluster_harness::{
    asset::Assets, deadline::Deadline, engine::Engine, host, progress::Progress, settings::Settings,
};

pub(crate) use self::cycle::build_tests;
use self::{
    cycle::{End, Program},
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
    let mut luck = Luck::new(seed);
    let mut report = Report::new(seed, arguments.kill);
    let mut victims = Victims::default();
    let began = Instant::now();
    let mut longest = Duration::ZERO;
    for number in 0..arguments.cycles {
        // The first and the last come to their end: how long a whole cycle takes, and the sweep of what
        // the killed ones left.
        let is_whole = number == 0 || number + 1 == arguments.cycles || !arguments.kill;
        let end = if is_whole {
            End::Whole
        } else {
            // Some go on to their end although they might have been killed.
            let after = luck.below(longest + longest / 10);
            End::Killed {
                after,
                with_reaper: luck.one_in(5),
            }
        };
        let step = progress.step(format!("cycle {} of {}", number + 1, arguments.cycles));
        let cycle = program
            .run(end)
            .await
            .with_context(|| format!("cycle {} (seed {seed})", number + 1))?;
        step.done();
        if matches!(end, End::Whole) {
            longest = longest.max(cycle.took);
        }
        victims.add(&cycle);
        report.add(end, &cycle);
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
