//! Whole stories, told to a syncer between two clusters in memory.

mod adversity;
mod content;
mod model;
mod pods;
mod services;
mod world;
