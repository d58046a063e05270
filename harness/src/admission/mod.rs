//! Which tests may start clusters now, so that a machine is full and not overrun. Tests of all processes of one
//! user queue up, first come first served, and take the places of all their clusters at once.
//!
//! Nothing here is remembered by anybody but the kernel: a place is a locked file, and a process that dies
//! has let go of it.

mod decide;
mod gate;
mod measure;
mod queue;
mod room;
mod spare;

pub(crate) use self::spare::Spare;
pub use self::{
    decide::{Decision, Limits, Machine, Occupancy, Reason, decide},
    gate::{Gate, Pass},
    measure::Gauge,
    queue::Error,
    room::Room,
};
