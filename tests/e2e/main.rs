//! End-to-end tests, in one binary so that they link once and share one look-up of the host.

mod attribute;
mod child;
mod clusters;
mod config;
mod failure;
mod isolation;
mod life;
mod nodes;
mod pods;
mod reaper;
mod relay;
mod services;
mod watcher;
