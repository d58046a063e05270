//! What happened when in a run of tests: one line of JSON per event, written by every test process to the
//! same file, and one page made of it for people.
//!
//! The file is `timeline.jsonl` in the directory of the run; [`Event`] is its schema. It decides nothing, and
//! a run whose file cannot be written goes on without.

mod event;
mod layout;
mod page;
mod publish;
mod read;
mod record;

pub(crate) use self::record::{current_test, of_test, record_start};
pub use self::{
    event::{Ending, Event, Kind},
    layout::Totals,
    page::page,
    publish::{PublishError, Published, publish},
    read::{ReadError, Timeline},
    record::{record, start},
};

/// The file's name in the directory of a run.
pub const FILE: &str = "timeline.jsonl";

/// The name of the page beside it.
pub const PAGE: &str = "timeline.html";
