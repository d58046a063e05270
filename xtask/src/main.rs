//! The project's own commands: set up, demo, test, bench, ci.

mod arguments;
mod bench;
mod checks;
mod demo;
mod process;
mod setup;
mod story;
mod summary;
mod test_run;
mod workspace;

use std::{io::Write as _, process::ExitCode, time::Instant};

use clap::Parser as _;
use vcluster_harness::{progress::Progress, settings::Settings};

use crate::{
    arguments::{Arguments, Task, TestArguments},
    summary::{Outcome, Summary},
};

#[tokio::main]
async fn main() -> ExitCode {
    match Box::pin(run(Arguments::parse().task)).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // The whole chain; a backtrace would say nothing to whoever runs this.
            drop(writeln!(std::io::stderr(), "error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

async fn run(task: Task) -> anyhow::Result<()> {
    let mut summary = Summary::default();
    match task {
        Task::Demo => return demo::run().await,
        Task::Bench(arguments) => {
            let report = Box::pin(bench::run(&arguments)).await?;
            write!(std::io::stdout(), "{report}")?;
            return Ok(());
        }
        Task::Test(arguments) => test(&arguments, &mut summary).await?,
        Task::E2e(arguments) => {
            set_up(&mut summary).await?;
            test_run::with_host(&arguments, &mut summary)?;
        }
        Task::Setup => set_up(&mut summary).await?,
        Task::Ci => {
            checks::fmt(&mut summary)?;
            checks::lint(&mut summary)?;
            checks::doc(&mut summary)?;
            checks::deny(&mut summary)?;
            test(&TestArguments::default(), &mut summary).await?;
        }
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

async fn test(arguments: &TestArguments, summary: &mut Summary) -> anyhow::Result<()> {
    if !arguments.hermetic {
        set_up(summary).await?;
    }
    test_run::hermetic(arguments, summary)?;
    if !arguments.hermetic {
        test_run::with_host(arguments, summary)?;
    }
    Ok(())
}

async fn set_up(summary: &mut Summary) -> anyhow::Result<()> {
    let started = Instant::now();
    setup::prepare_all(&Settings::from_process()?, &Progress::detect()).await?;
    summary.add("set-up", Outcome::Passed, started.elapsed());
    Ok(())
}
