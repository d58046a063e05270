//! `timeline`: a page of what a run of tests wrote down.

use std::path::PathBuf;

use vcluster_harness::{
    diagnostics::Artifacts,
    timeline::{self, PublishError, ReadError},
};

use super::run::Context;
use crate::{
    exit::{Exit, Failure},
    report::Timeline,
};

pub(super) fn timeline(cx: &Context, run: Option<PathBuf>) -> Result<Exit, Failure> {
    let run = match run {
        Some(run) => run,
        None => latest(cx)?,
    };
    let published = timeline::publish(&run).map_err(|error| match error {
        PublishError::Read(error @ ReadError::Missing { .. }) => {
            Failure::new(Exit::NothingSelected, error)
        }
        error => Failure::new(Exit::Unexpected, error),
    })?;
    cx.print(&Timeline::from(published))?;
    Ok(Exit::Good)
}

fn latest(cx: &Context) -> Result<PathBuf, Failure> {
    let here = std::env::current_dir().map_err(|error| Failure::new(Exit::Unexpected, error))?;
    Ok(Artifacts::root_around(&cx.settings, &here).join("latest"))
}
