//! The attribute and the run of a test, on a host that only pretends.

mod arguments;
mod attributes;
mod cases;
mod events;
mod matrix;
mod pretend;
mod timeline;
