//! End-to-end tests.

mod attribute;
