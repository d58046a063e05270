//! The command line: run in the control plane's pod, by whoever may run programs there.

use std::{
    io::{self, Write as _},
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};

use anyhow::Context as _;
use clap::{Args, Subcommand};

use super::{
    ENDPOINT, Error, Report, address::Credentials, etcd::Etcd, report::DIFFERS, rounds,
    session::Session,
};

/// What to do with the store.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Saves its state, once nothing changes any more, and says how it went in a line of JSON.
    Save(Options),
    /// Puts it back to the saved state, step by step and as often as it is told to: for each line of standard input,
    /// which names a step, it says how that went.
    PutBack(Options),
}

/// Which store and which state.
#[derive(Debug, Args)]
pub struct Options {
    /// The store's address: `http://…`, `https://…` or `unix:PATH`.
    #[arg(long, env = ENDPOINT, default_value = "http://127.0.0.1:2379")]
    endpoint: String,
    /// Who vouches for a store with certificates.
    #[arg(long, default_value = "/pki/ca.crt")]
    authority: PathBuf,
    /// The certificate that such a store asks for.
    #[arg(long, default_value = "/pki/apiserver-kubelet-client.crt")]
    certificate: PathBuf,
    /// Its key.
    #[arg(long, default_value = "/pki/apiserver-kubelet-client.key")]
    key: PathBuf,
    /// The file of the saved state.
    #[arg(long, default_value = "/run/vcluster/state")]
    state: PathBuf,
    /// How many bytes the store may take. One that has grown beyond that is not put back.
    #[arg(long)]
    largest: Option<u64>,
    /// How long it may take, or each step of it, in seconds.
    #[arg(long, default_value_t = 30)]
    seconds: u64,
}

/// Does it.
///
/// # Errors
/// The store or the file fails, or a line names no step. A store that does not become what it was is no error but
/// has an exit code of its own.
pub fn run(command: Command) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("could not start the runtime")?;
    match command {
        Command::Save(options) => say(&runtime.block_on(save(&options))?),
        Command::PutBack(options) => {
            let store = options.store()?;
            let (state, limit) = (options.state.clone(), options.limit());
            let mut session = Session::new(&store, state, options.largest, limit);
            for line in io::stdin().lines() {
                let line = line.context("could not read which step is next")?;
                let report = runtime.block_on(session.take(line.parse()?))?;
                let code = say(&report)?;
                if !report.differences.is_empty() {
                    return Ok(code);
                }
            }
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn say(report: &Report) -> anyhow::Result<ExitCode> {
    let line = serde_json::to_string(report).context("could not write the report")?;
    writeln!(io::stdout(), "{line}").context("could not write the report")?;
    Ok(if report.differences.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(DIFFERS)
    })
}

async fn save(options: &Options) -> Result<Report, Error> {
    let start = std::time::Instant::now();
    let store = options.store()?;
    let state = rounds::save(&store, options.limit()).await?;
    state.write(&options.state)?;
    Ok(Report {
        keys: state.entries.len(),
        milliseconds: start.elapsed().as_millis().try_into().unwrap_or(u64::MAX),
        ..Report::default()
    })
}

impl Options {
    fn store(&self) -> Result<Etcd, Error> {
        let credentials = Credentials {
            authority: self.authority.clone(),
            certificate: self.certificate.clone(),
            key: self.key.clone(),
        };
        Etcd::new(&self.endpoint, &credentials)
    }

    fn limit(&self) -> Duration {
        Duration::from_secs(self.seconds)
    }
}
