//! `doctor`: what this machine lacks.

use super::run::Context;
use crate::{
    doctor::{Facts, judge},
    exit::{Exit, Failure},
    report::Doctor,
};

pub(super) async fn doctor(cx: &Context) -> Result<Exit, Failure> {
    let step = cx.progress.step("looking at this machine");
    let report = Doctor::new(judge(&Facts::gather(&cx.settings).await));
    step.done();
    cx.print(&report)?;
    Ok(if report.ok {
        Exit::Good
    } else {
        Exit::Findings
    })
}
