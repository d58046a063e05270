//! Whether this machine can run hosts: facts are gathered in one place and judged by a pure function, so
//! that each judgement has a test.

mod check;
mod facts;
mod require;

pub use check::{Finding, Severity, check, disk};
pub use facts::{Facts, free};
pub(super) use require::require;
