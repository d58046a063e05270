//! Whole stories, told to a syncer between two clusters in memory.

mod addons;
mod adversity;
mod bad_input;
mod classes;
mod content;
mod election;
mod model;
mod model_of_pods;
mod nodes;
mod outage;
mod pace;
mod pods;
mod pods_in_life;
mod policies;
mod quiet;
mod restart;
mod scheduling;
mod services;
mod storage;
mod thrift;
mod trouble;
mod world;
