//! End-to-end tests, in one binary so that they link once and share one look-up of the host.

mod attribute;
mod clusters;
mod config;
mod isolation;
mod nodes;
mod pods;
mod relay;
mod services;
