//! The command line: run in the control plane's pod, by whoever may run programs there.

use std::{io::Write as _, path::PathBuf, process::ExitCode, time::Duration};

use anyhow::Context as _;
use clap::{Args, Subcommand};

use super::{Error, Report, etcd::Etcd, report::DIFFERS, rounds, state::State, target::Accounts};

/// What to do with the store.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Saves its state, once nothing changes any more.
    Save(Options),
    /// Puts it back to the saved state, and all service accounts anew.
    Reset(Options),
    /// Takes away what came after a reset and is in no saved state.
    Tidy(Options),
}

/// Which store and which state.
#[derive(Debug, Args)]
pub struct Options {
    /// The store's address.
    #[arg(long, default_value = "http://127.0.0.1:2379")]
    endpoint: String,
    /// The file of the saved state.
    #[arg(long, default_value = "/run/vcluster/state")]
    state: PathBuf,
    /// How long it may take, in seconds.
    #[arg(long, default_value_t = 30)]
    seconds: u64,
}

/// Does it, and says how it went in one line of JSON.
///
/// # Errors
/// The store or the file fails. A store that does not become what it was is no error but has an exit
/// code of its own.
pub fn run(command: Command) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("could not start the runtime")?;
    let report = runtime.block_on(async {
        match command {
            Command::Save(options) => save(&options).await,
            Command::Reset(options) => reset(&options, Accounts::Renewed).await,
            Command::Tidy(options) => reset(&options, Accounts::Kept).await,
        }
    })?;
    let line = serde_json::to_string(&report).context("could not write the report")?;
    writeln!(std::io::stdout(), "{line}").context("could not write the report")?;
    Ok(if report.differences.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(DIFFERS)
    })
}

async fn save(options: &Options) -> Result<Report, Error> {
    let start = std::time::Instant::now();
    let store = Etcd::new(&options.endpoint)?;
    let state = rounds::save(&store, options.limit()).await?;
    state.write(&options.state)?;
    Ok(Report {
        keys: state.entries.len(),
        milliseconds: start.elapsed().as_millis().try_into().unwrap_or(u64::MAX),
        ..Report::default()
    })
}

async fn reset(options: &Options, accounts: Accounts) -> Result<Report, Error> {
    let store = Etcd::new(&options.endpoint)?;
    let saved = State::read(&options.state)?;
    match rounds::reset(&store, &saved, accounts, options.limit()).await {
        Ok(outcome) => {
            // What was renewed is what the next reset starts from.
            outcome.state.write(&options.state)?;
            Ok(outcome.report)
        }
        Err(Error::Differs { keys, .. }) => Ok(Report {
            keys: saved.entries.len(),
            differences: keys,
            ..Report::default()
        }),
        Err(error) => Err(error),
    }
}

impl Options {
    fn limit(&self) -> Duration {
        Duration::from_secs(self.seconds)
    }
}
