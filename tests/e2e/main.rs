//! End-to-end tests.

mod attribute;
mod clusters;
