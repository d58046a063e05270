//! What `#[vcluster_test]` expands to: a specification, arguments by type, and the run of one test.
//!
//! The attribute knows nothing of clusters and this module nothing of syntax. Where clusters come from is
//! behind [`Backend`], so that the order of events is tested without any.

mod argument;
mod attempt;
mod backend;
mod clean_up;
mod current;
mod evidence;
pub mod fixtures;
mod injected;
mod outcome;
mod report;
mod run;
mod selection;
mod shared;
mod spec;
mod telemetry;
mod verdict;

pub use self::{
    argument::{Argument, ArgumentError, Given, Need, Slot, slot},
    backend::{Backend, CleanUpError, Explanation, SetUpError},
    current::{Current, current},
    outcome::Outcome,
    run::run_on,
    shared::run,
    spec::{Cell, Flavor, TestInfo, TestSpec},
};
