//! The project's own commands: set up, demo, test, bench, ci.

mod arguments;
mod bench;
mod checks;
mod demo;
mod fuzz;
mod nextest;
mod process;
mod setup;
mod soak;
mod story;
mod summary;
mod test_run;
mod workspace;

use std::{
    io::{IsTerminal as _, Write as _},
    path::PathBuf,
    process::ExitCode,
    time::Instant,
};

use clap::Parser as _;
use tracing_subscriber::EnvFilter;
use vcluster_harness::{log, progress::Progress, settings::Settings};

use crate::{
    arguments::{Arguments, Runner, Task, TestArguments},
    summary::{Outcome, Summary},
};

#[tokio::main]
async fn main() -> ExitCode {
    let task = Arguments::parse().task;
    let finished = async {
        let settings = Settings::from_process()?;
        start_log(&settings)?;
        Box::pin(run(task, &settings)).await
    };
    match finished.await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // The whole chain; a backtrace would say nothing to whoever runs this.
            drop(writeln!(std::io::stderr(), "error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// What the harness has to say beside its progress.
fn start_log(settings: &Settings) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(log::filter(settings.log.as_deref(), "warn"))?;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none())
        .init();
    Ok(())
}

async fn run(task: Task, settings: &Settings) -> anyhow::Result<()> {
    let mut summary = Summary::default();
    match task {
        Task::Demo => return Box::pin(demo::run(settings)).await,
        Task::Bench(arguments) => {
            let report = Box::pin(bench::run(&arguments, settings)).await?;
            write!(std::io::stdout(), "{report}")?;
            return Ok(());
        }
        Task::Soak(arguments) => {
            let report = Box::pin(soak::run(&arguments, settings)).await?;
            write!(std::io::stdout(), "{report}")?;
            return Ok(());
        }
        Task::Test(arguments) => test(&arguments, settings, &mut summary).await?,
        Task::E2e(arguments) => {
            let nextest = set_up(settings, &mut summary).await?;
            test_run::with_host(&nextest, &arguments, settings, &mut summary)?;
        }
        Task::Setup => drop(set_up(settings, &mut summary).await?),
        Task::Ci => {
            checks::fmt(&mut summary)?;
            checks::lint(&mut summary)?;
            checks::doc(&mut summary)?;
            checks::oldest_types(&mut summary)?;
            checks::deny(&mut summary)?;
            test(&TestArguments::default(), settings, &mut summary).await?;
            let nextest = setup::prepare_nextest(settings, &Progress::detect())?;
            nextest::again(&nextest, settings, &mut summary)?;
        }
        Task::Fuzz(arguments) => fuzz::run(&arguments, &mut summary)?,
        Task::Fmt => checks::fmt(&mut summary)?,
        Task::Lint => checks::lint(&mut summary)?,
        Task::Doc => checks::doc(&mut summary)?,
        Task::Deny => {
            checks::deny(&mut summary)?;
            checks::advisories(&mut summary)?;
        }
        Task::Each => checks::each(&mut summary)?,
    }
    summary.finish()
}

async fn test(
    arguments: &TestArguments,
    settings: &Settings,
    summary: &mut Summary,
) -> anyhow::Result<()> {
    let nextest = if arguments.hermetic {
        None
    } else {
        Some(set_up(settings, summary).await?)
    };
    if arguments.runner == Runner::Nextest {
        let nextest = match nextest {
            Some(nextest) => nextest,
            None => setup::prepare_nextest(settings, &Progress::detect())?,
        };
        return nextest::all(&nextest, arguments, settings, summary);
    }
    test_run::hermetic(arguments, summary)?;
    if let Some(nextest) = nextest {
        test_run::with_host(&nextest, arguments, settings, summary)?;
    }
    Ok(())
}

/// Everything down to a host that is up, and the runner that some tests are about: gives where that is.
async fn set_up(settings: &Settings, summary: &mut Summary) -> anyhow::Result<PathBuf> {
    let started = Instant::now();
    let progress = Progress::detect();
    setup::prepare_all(settings, &progress).await?;
    let nextest = setup::prepare_nextest(settings, &progress)?;
    summary.add("set-up", Outcome::Passed, started.elapsed());
    Ok(nextest)
}
