//! `cargo vcluster`: hosts and virtual clusters from the command line.
//!
//! Results go to standard output, progress and complaints to standard error.

mod arguments;
mod command;
mod doctor;
mod exit;
mod matrix;
mod output;
mod report;

use std::{
    io::{IsTerminal as _, Write as _},
    process::ExitCode,
};

use clap::error::ErrorKind;
use tracing_subscriber::EnvFilter;
use vcluster_harness::{log, settings::Settings};

use crate::{
    arguments::Arguments,
    exit::{Exit, Failure},
};

fn main() -> ExitCode {
    let arguments = match Arguments::parse_words(std::env::args_os()) {
        Ok(arguments) => arguments,
        Err(error) => return explain(&error),
    };
    match start(arguments) {
        Ok(exit) => exit.into(),
        // Who stopped reading has what they wanted, as in `… | head`.
        Err(failure) if failure.is_closed_output() => Exit::Good.into(),
        Err(failure) => {
            complain(&format!("error: {:#}", failure.cause));
            failure.exit.into()
        }
    }
}

#[tokio::main]
async fn start(arguments: Arguments) -> Result<Exit, Failure> {
    let settings =
        Settings::from_process().map_err(|error| Failure::new(Exit::Configuration, error))?;
    start_log(&settings)?;
    Box::pin(command::run(arguments, settings)).await
}

fn start_log(settings: &Settings) -> Result<(), Failure> {
    let filter = EnvFilter::try_new(log::filter(settings.log.as_deref(), "warn"))
        .map_err(|error| Failure::new(Exit::Configuration, error))?;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none())
        .init();
    Ok(())
}

/// Help and version are results; anything else is wrong use.
fn explain(error: &clap::Error) -> ExitCode {
    // A closed stream is no reason to end otherwise than the command line deserves.
    drop(error.print());
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => Exit::Good.into(),
        _ => Exit::Usage.into(),
    }
}

fn complain(text: &str) {
    drop(writeln!(std::io::stderr(), "{text}"));
}
