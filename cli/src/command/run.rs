//! From the command line to the command.

use vcluster_harness::{progress::Progress, settings::Settings};

use super::{cluster, delete, doctor, host, kubeconfig, logs, matrix, prune, timeline};
use crate::{
    arguments::{Arguments, Command, HostCommand, OutputForm},
    exit::{Exit, Failure},
    output::{self, Report},
    report::LogLine,
};

/// What every command may need.
#[derive(Debug)]
pub(super) struct Context {
    pub(super) settings: Settings,
    pub(super) progress: Progress,
    form: OutputForm,
}

impl Context {
    /// Prints a result.
    pub(super) fn print(&self, report: &impl Report) -> Result<(), Failure> {
        output::print(report, self.form).map_err(|error| Failure::new(Exit::Unexpected, error))
    }

    /// Prints a line of a log.
    pub(super) fn print_log(&self, line: &LogLine<'_>) -> Result<(), Failure> {
        line.write(self.form, &mut std::io::stdout().lock())
            .map_err(|error| Failure::new(Exit::Unexpected, error))
    }
}

/// Runs a command to its end.
pub(crate) async fn run(arguments: Arguments, settings: Settings) -> Result<Exit, Failure> {
    let cx = Context {
        settings,
        progress: Progress::detect(),
        form: arguments.output,
    };
    match arguments.command {
        Command::Doctor => doctor::doctor(&cx).await,
        Command::Host { command } => match command {
            HostCommand::Up => host::up(&cx).await,
            HostCommand::Down { name } => host::down(&cx, name).await,
            HostCommand::List => host::list(&cx).await,
        },
        Command::Create(arguments) => Box::pin(cluster::create(&cx, arguments)).await,
        Command::List => cluster::list(&cx).await,
        Command::Kubeconfig { name } => kubeconfig::kubeconfig(&cx, &name).await,
        Command::Delete { names, wait } => delete::delete(&cx, names, wait).await,
        Command::Prune { dry_run } => prune::prune(&cx, dry_run).await,
        Command::Timeline { run } => timeline::timeline(&cx, run),
        Command::Logs(arguments) => logs::logs(&cx, arguments).await,
        Command::Matrix(arguments) => matrix::matrix(&cx, arguments).await,
    }
}
