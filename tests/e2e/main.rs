//! End-to-end tests, in one binary so that they link once and share one look-up of the host.

mod attribute;
mod child;
mod clusters;
mod config;
mod distros;
mod failure;
mod hosts;
mod images;
mod isolation;
mod kind_cli;
mod life;
mod metrics;
mod nodes;
mod own_host;
mod pods;
mod policies;
mod pool;
mod reaper;
mod relay;
mod reset;
mod scheduler;
mod services;
mod storage;
mod stores;
mod versions;
mod watcher;
