//! Can this machine run clusters? First look, then judge: judging is pure.

mod facts;
mod judge;

pub(crate) use facts::Facts;
pub(crate) use judge::judge;
