//! What is known about a failure: a bundle of files for later, and the likely cause in a few lines.
//!
//! Never holds the values of secrets, tokens or kubeconfigs.

mod artifacts;
mod bundle;
mod cause;
mod collect;
mod events;
mod evidence;
mod logs;
mod redact;
mod report;
mod run_id;
mod side;
#[cfg(test)]
mod tests;

pub use self::{
    artifacts::Artifacts,
    bundle::Bundle,
    cause::{Cause, causes, causes_of_error},
    collect::{Subject, collect},
    evidence::{Evidence, Log},
    report::{Failure, Report},
    side::Side,
};
